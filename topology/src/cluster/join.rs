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
//! All of it is within TLS where there are certificates ([`super::tls`]); without, the network between processes must be one that nobody else reads.
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::control::{self, Peer};
use super::tls::Tls;
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
    stream: Channel,
}

/// This process, as it meets others.
struct Own<'a> {
    options: &'a ClusterOptions,
    identity: &'a Identity,
    life: [u8; 32],
    tls: Option<Tls>,
}

/// Waits until all processes are there. Gives this one's role, and the connections that timely wants: one a process, none for itself.
///
/// # Errors
/// [`ClusterError`]; one that is not there yet is waited for.
pub fn join(options: &ClusterOptions, identity: &Identity) -> Result<(Members, Vec<Option<Channel>>), ClusterError> {
    options.check()?;
    let own = options.process;
    let life = nonce().map_err(failed("start at", &options.addresses[own]))?;
    let this = Own { options, identity, life, tls: options.tls.as_ref().map(Tls::read).transpose()? };
    let (mut data, mut controls): (Vec<_>, Vec<_>) = options.addresses.iter().map(|_| (None, None)).unzip();
    let listener = listen(&options.addresses[own])?;
    for peer in 0..own {
        if peer == 0 {
            controls[peer] = Some((life, this.connect(peer, Purpose::Control)?));
        }
        data[peer] = Some((life, this.connect(peer, Purpose::Data)?));
    }
    let is_there = |data: &[Connection], controls: &[Connection], peer: usize| match (&data[peer], &controls[peer]) {
        (Some((data, _)), Some((control, _))) => data == control,
        (Some(_), None) => own != 0,
        _ => false,
    };
    let mut said = Instant::now();
    while let Some(missing) = (own + 1..options.addresses.len()).find(|peer| !is_there(&data, &controls, *peer)) {
        match listener.accept() {
            Ok((stream, from)) => match this.admit(stream) {
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
    let mut streams: Vec<Option<Channel>> = data.into_iter().map(|connection| connection.map(|(_, stream)| stream)).collect();
    for (peer, stream) in streams.iter_mut().enumerate() {
        if let Some(stream) = stream {
            greet_last(stream).map_err(|_| ClusterError::Lost(peer))?;
        }
    }
    tracing::info!(?place, "all processes of the cell are there");
    Ok((members, streams))
}

/// The life of the process at the other end, and the connection.
type Connection = Option<([u8; 32], Channel)>;

/// Whether the other end lives: both say a word.
fn greet_last(stream: &mut Channel) -> io::Result<()> {
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

impl Own<'_> {
    /// Reaches a process before this one, however long it takes to come up.
    fn connect(&self, peer: usize, purpose: Purpose) -> Result<Channel, ClusterError> {
        let address = &self.options.addresses[peer];
        let mut said = Instant::now();
        loop {
            let found = address.to_socket_addrs().map_err(failed("find", address))?.next();
            let Some(found) = found else { return Err(failed("find", address)(io::ErrorKind::NotFound.into())) };
            let refused = |reason: String| Err(ClusterError::Refused { process: peer, address: address.clone(), reason });
            match TcpStream::connect_timeout(&found, HANDSHAKE).and_then(|socket| self.greet(socket, address, purpose)) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(reason)) => return refused(reason),
                // A certificate that one of both does not take, which no waiting mends.
                Err(error) if self.tls.is_some() && error.kind() == io::ErrorKind::InvalidData => {
                    return refused(format!("{error}; see that `cluster.tls` of each names the authority of the other, and its host"));
                }
                // Not up yet; or its older life, which is about to end.
                Err(_) => std::thread::sleep(RETRY),
            }
            say(&mut said, peer);
        }
    }

    fn greet(&self, socket: TcpStream, address: &str, purpose: Purpose) -> io::Result<Result<Channel, String>> {
        ready(&socket)?;
        let mut stream = match &self.tls {
            Some(tls) => tls.connect(socket, address)?,
            None => Channel::plain(socket),
        };
        let hello = Hello { identity: self.identity.clone(), process: self.options.process, life: self.life, purpose, nonce: nonce()? };
        control::write(&mut stream, &hello)?;
        let theirs: [u8; 32] = control::read(&mut stream)?;
        control::write(&mut stream, proof(self.options, "connects", &hello, &theirs)?.as_bytes())?;
        let verdict: Result<[u8; 32], String> = control::read(&mut stream)?;
        Ok(match verdict {
            Ok(proven) if proof(self.options, "accepts", &hello, &theirs)? == proven => {
                stream.set_read_timeout(None)?;
                Ok(stream)
            }
            Ok(_) => Err("it does not know this cell's secret".into()),
            Err(reason) => Err(reason),
        })
    }

    /// The other side of [`Own::greet`]. An error names what the stranger lacks.
    fn admit(&self, socket: TcpStream) -> io::Result<Admitted> {
        let Self { options, identity, .. } = self;
        socket.set_nonblocking(false)?;
        ready(&socket)?;
        let mut stream = match &self.tls {
            Some(tls) => tls.accept(socket)?,
            None => Channel::plain(socket),
        };
        let hello: Hello = control::read(&mut stream)?;
        let ours = nonce()?;
        control::write(&mut stream, &ours)?;
        let proven: [u8; 32] = control::read(&mut stream)?;
        let refusal = if proof(options, "connects", &hello, &ours)? != proven {
            Some("it does not know the secret (`cluster.secret`)".to_owned())
        } else if hello.identity != **identity {
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
#[path = "join_tests.rs"]
mod tests;
