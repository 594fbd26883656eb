//! How processes find and trust one another, before anything of the cell is touched.
//!
//! Process *j* connects to every process before it; the others wait for it. On each connection both prove that they know the secret, and that they are of
//! the same cell, version, settings and size:
//!
//! ```text
//! j → i   hello: who I am, what the connection is for, a nonce
//! i → j   a nonce
//! j → i   keyed hash of the hello and both nonces
//! i → j   keyed hash of the same, the other way round; or why not
//! ```
//! Process 0 says when all are there. Then both ends of every connection say a word more, so that none goes on with the connection of a process that has died
//! since: whoever hears nothing ends, and is started again.
//!
//! What follows is not encrypted: the network between processes must be one that nobody else reads.
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::control::{self, Peer};
use super::{ClusterError, ClusterOptions, Members, Place};

/// How long a stranger may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often one is tried that does not answer yet.
const RETRY: Duration = Duration::from_millis(100);
/// How often the log says who is waited for.
const SAY: Duration = Duration::from_secs(10);

/// What all processes of a cell have in common: they refuse one that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The cell.
    pub cell: String,
    /// Code and settings.
    pub fingerprint: String,
    /// Processes.
    pub processes: usize,
    /// Workers of each.
    pub workers: usize,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Purpose {
    /// Timely's.
    Data,
    /// Between process 0 and another.
    Control,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hello {
    identity: Identity,
    process: usize,
    /// Tells the connections of one start of a process from those of another.
    life: [u8; 32],
    purpose: Purpose,
    nonce: [u8; 32],
}

/// A connection that was accepted.
struct Admitted {
    process: usize,
    life: [u8; 32],
    purpose: Purpose,
    stream: TcpStream,
}

/// Waits until all processes are there. Gives this one's role, and the connections that timely wants: one a process, none for itself.
///
/// # Errors
/// [`ClusterError`]; one that is not there yet is waited for.
pub fn join(options: &ClusterOptions, identity: &Identity) -> Result<(Members, Vec<Option<TcpStream>>), ClusterError> {
    options.check()?;
    let own = options.process;
    let life = nonce().map_err(failed("start at", &options.addresses[own]))?;
    let (mut data, mut controls): (Vec<_>, Vec<_>) = options.addresses.iter().map(|_| (None, None)).unzip();
    let listener = listen(&options.addresses[own])?;
    for peer in 0..own {
        if peer == 0 {
            controls[peer] = Some((life, connect(options, identity, life, peer, Purpose::Control)?));
        }
        data[peer] = Some((life, connect(options, identity, life, peer, Purpose::Data)?));
    }
    let is_there = |data: &[Connection], controls: &[Connection], peer: usize| match (&data[peer], &controls[peer]) {
        (Some((data, _)), Some((control, _))) => data == control,
        (Some(_), None) => own != 0,
        _ => false,
    };
    let mut said = Instant::now();
    while let Some(missing) = (own + 1..options.addresses.len()).find(|peer| !is_there(&data, &controls, *peer)) {
        match listener.accept() {
            Ok((stream, from)) => match admit(stream, options, identity) {
                Ok(Admitted { process, life, purpose: Purpose::Data, stream }) => data[process] = Some((life, stream)),
                Ok(Admitted { process, life, purpose: Purpose::Control, stream }) => controls[process] = Some((life, stream)),
                Err(error) => tracing::warn!(%from, %error, "a connection was refused"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(source) => return Err(failed("accept on", &options.addresses[own])(source)),
        }
        say(&mut said, missing);
    }
    let place = Place { process: own, processes: options.addresses.len(), workers: identity.workers };
    let peers: Result<Vec<Peer>, _> = (0..)
        .zip(controls)
        .filter_map(|(peer, control)| control.map(|(_, stream)| Peer::new(peer, stream).map_err(failed("keep", &options.addresses[peer]))))
        .collect();
    let members = Members::new(place, peers?);
    members.all_there()?;
    let mut streams: Vec<Option<TcpStream>> = data.into_iter().map(|connection| connection.map(|(_, stream)| stream)).collect();
    for (peer, stream) in streams.iter_mut().enumerate() {
        if let Some(stream) = stream {
            greet_last(stream).map_err(|_| ClusterError::Lost(peer))?;
        }
    }
    tracing::info!(?place, "all processes of the cell are there");
    Ok((members, streams))
}

/// The life of the process at the other end, and the connection.
type Connection = Option<([u8; 32], TcpStream)>;

/// Whether the other end lives: both say a word.
fn greet_last(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    control::write(stream, &())?;
    control::read::<()>(stream)?;
    stream.set_read_timeout(None)
}

fn failed<'a>(what: &'static str, address: &'a str) -> impl Fn(io::Error) -> ClusterError + 'a {
    move |source| ClusterError::Io { what, address: address.to_owned(), source }
}

fn say(said: &mut Instant, missing: usize) {
    if said.elapsed() >= SAY {
        *said = Instant::now();
        tracing::warn!(process = missing, "waits for another process of the cell");
    }
}

fn listen(address: &str) -> Result<TcpListener, ClusterError> {
    let listener = TcpListener::bind(address).map_err(failed("listen on", address))?;
    listener.set_nonblocking(true).map_err(failed("listen on", address))?;
    Ok(listener)
}

/// Reaches a process before this one, however long it takes to come up.
fn connect(
    options: &ClusterOptions,
    identity: &Identity,
    life: [u8; 32],
    peer: usize,
    purpose: Purpose,
) -> Result<TcpStream, ClusterError> {
    let address = &options.addresses[peer];
    let mut said = Instant::now();
    loop {
        let found = address.to_socket_addrs().map_err(failed("find", address))?.next();
        let Some(found) = found else { return Err(failed("find", address)(io::ErrorKind::NotFound.into())) };
        let greeted = TcpStream::connect_timeout(&found, HANDSHAKE).and_then(|stream| greet(stream, options, identity, life, purpose));
        match greeted {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(reason)) => return Err(ClusterError::Refused { process: peer, address: address.clone(), reason }),
            // Not up yet; or its older life, which is about to end.
            Err(_) => std::thread::sleep(RETRY),
        }
        say(&mut said, peer);
    }
}

fn greet(
    mut stream: TcpStream,
    options: &ClusterOptions,
    identity: &Identity,
    life: [u8; 32],
    purpose: Purpose,
) -> io::Result<Result<TcpStream, String>> {
    ready(&stream)?;
    let hello = Hello { identity: identity.clone(), process: options.process, life, purpose, nonce: nonce()? };
    control::write(&mut stream, &hello)?;
    let theirs: [u8; 32] = control::read(&mut stream)?;
    control::write(&mut stream, proof(options, "connects", &hello, &theirs)?.as_bytes())?;
    let verdict: Result<[u8; 32], String> = control::read(&mut stream)?;
    Ok(match verdict {
        Ok(proven) if proof(options, "accepts", &hello, &theirs)? == proven => {
            stream.set_read_timeout(None)?;
            Ok(stream)
        }
        Ok(_) => Err("it does not know this cell's secret".into()),
        Err(reason) => Err(reason),
    })
}

/// The other side of [`greet`]. An error names what the stranger lacks.
fn admit(mut stream: TcpStream, options: &ClusterOptions, identity: &Identity) -> io::Result<Admitted> {
    stream.set_nonblocking(false)?;
    ready(&stream)?;
    let hello: Hello = control::read(&mut stream)?;
    let ours = nonce()?;
    control::write(&mut stream, &ours)?;
    let proven: [u8; 32] = control::read(&mut stream)?;
    let refusal = if proof(options, "connects", &hello, &ours)? != proven {
        Some("it does not know the secret (`cluster.secret`)".to_owned())
    } else if hello.identity != *identity {
        Some(format!("it is {:?}, and this is {identity:?}: run the same version and configuration everywhere", hello.identity))
    } else if hello.process <= options.process || hello.process >= options.addresses.len() {
        Some(format!("it calls itself process {} of {}", hello.process, options.addresses.len()))
    } else {
        None
    };
    if let Some(refusal) = refusal {
        control::write(&mut stream, &Result::<[u8; 32], _>::Err(refusal.clone()))?;
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal));
    }
    control::write(&mut stream, &Result::<_, String>::Ok(*proof(options, "accepts", &hello, &ours)?.as_bytes()))?;
    stream.set_read_timeout(None)?;
    Ok(Admitted { process: hello.process, life: hello.life, purpose: hello.purpose, stream })
}

fn ready(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE))
}

fn nonce() -> io::Result<[u8; 32]> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    Ok(nonce)
}

fn proof(options: &ClusterOptions, side: &str, hello: &Hello, nonce: &[u8; 32]) -> io::Result<blake3::Hash> {
    let key = blake3::derive_key("sightline 2026-11 handshake of the processes of a cell", options.secret.as_bytes());
    let said = postcard::to_stdvec(&(side, hello, nonce)).map_err(io::Error::other)?;
    Ok(blake3::keyed_hash(&key, &said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn identity(fingerprint: &str) -> Identity {
        Identity { cell: "soc".into(), fingerprint: fingerprint.into(), processes: 2, workers: 1 }
    }

    fn options(process: usize, port: u16, secret: &str) -> ClusterOptions {
        let addresses = vec![format!("127.0.0.1:{port}"), "127.0.0.1:0".to_owned()];
        ClusterOptions { process, addresses, secret: secret.into() }
    }

    /// What process 0 makes of a process 1 that knows `secret` and has `fingerprint`, and what that one hears.
    fn meet(secret: &str, fingerprint: &str) -> (io::Result<(usize, Purpose)>, Result<(), ClusterError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (secret, fingerprint) = (secret.to_owned(), fingerprint.to_owned());
        let stranger =
            std::thread::spawn(move || connect(&options(1, port, &secret), &identity(&fingerprint), [7; 32], 0, Purpose::Data).map(|_| ()));
        let admitted = admit(listener.accept().unwrap().0, &options(0, port, "open sesame"), &identity("a"));
        (admitted.map(|admitted| (admitted.process, admitted.purpose)), stranger.join().unwrap())
    }

    #[test]
    fn those_of_the_same_cell_find_each_other() {
        let (admitted, heard) = meet("open sesame", "a");
        assert_eq!(admitted.unwrap(), (1, Purpose::Data));
        heard.unwrap();
    }

    #[test]
    fn whoever_lacks_the_secret_or_differs_is_refused_and_told_why() {
        for (secret, fingerprint, why) in [("guess", "a", "secret"), ("open sesame", "b", "same version")] {
            let (admitted, heard) = meet(secret, fingerprint);
            assert!(admitted.unwrap_err().to_string().contains(why));
            assert!(heard.unwrap_err().to_string().contains(why));
        }
    }

    #[test]
    fn addresses_of_other_machines_need_a_secret() {
        let mut far = options(0, 1, "");
        far.check().unwrap();
        far.addresses[1] = "192.0.2.1:2101".into();
        assert!(far.check().unwrap_err().to_string().contains("cluster.secret"));
        far.secret = "x".into();
        far.check().unwrap();
        far.process = 2;
        assert!(far.check().is_err());
    }
}
