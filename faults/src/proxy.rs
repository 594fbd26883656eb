//! A proxy before a store: passes everything, nothing, or answers for an HTTP store as it would on a bad day.
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// What the proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// Connections are closed at once: the store is down.
    Refuse,
    /// Connections are taken and nothing passes: the store, or the way to it, is dead.
    Silent,
    /// Some requests that write are answered otherwise.
    Bad {
        /// Every so many.
        every: u64,
        /// With this status; none: the connection is closed without an answer.
        status: Option<u16>,
        /// After the store has done what it was asked.
        after: bool,
    },
}

/// A listening proxy; its threads end with the process.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

/// How often a quiet connection looks whether the mode has changed.
const LOOK: Duration = Duration::from_millis(50);

impl Proxy {
    /// Listens on a free port before `upstream`.
    pub fn start(upstream: &str, http: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to open a port for the proxy")?;
        let address = listener.local_addr()?;
        let mode = Arc::new(Mutex::new(Mode::Pass));
        let (upstream, shared) = (upstream.to_owned(), Arc::clone(&mode));
        let writes = Arc::new(Mutex::new(0));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, mode, writes) = (upstream.clone(), Arc::clone(&shared), Arc::clone(&writes));
                std::thread::spawn(move || {
                    // A connection that breaks is what the other side has to live with.
                    let _ = if http { serve_http(client, &upstream, &mode, &writes) } else { relay(client, &upstream, &mode) };
                });
            }
        });
        Ok(Self { address, mode })
    }

    /// From now on, for open connections too.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

fn now(mode: &Mutex<Mode>) -> Mode {
    *mode.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits while nothing passes; the connection is worth nothing afterwards.
fn is_dead(mode: &Mutex<Mode>) -> bool {
    let dead = matches!(now(mode), Mode::Refuse | Mode::Silent);
    while now(mode) == Mode::Silent {
        std::thread::sleep(LOOK);
    }
    dead
}

fn relay(client: TcpStream, upstream: &str, mode: &Arc<Mutex<Mode>>) -> io::Result<()> {
    if is_dead(mode) {
        return Ok(());
    }
    let server = TcpStream::connect(upstream)?;
    let (back_from, back_to, back_mode) = (server.try_clone()?, client.try_clone()?, Arc::clone(mode));
    std::thread::spawn(move || copy(&back_from, &back_to, &back_mode));
    copy(&client, &server, mode);
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, mode: &Mutex<Mode>) {
    let mut bytes = vec![0; 1 << 16];
    let _ = from.set_read_timeout(Some(LOOK));
    loop {
        let read = from.read(&mut bytes);
        if is_dead(mode) {
            break;
        }
        match read {
            Ok(0) => break,
            Ok(count) if to.write_all(&bytes[..count]).is_ok() => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// One request a connection: enough for a test, and nothing to get wrong.
fn serve_http(mut client: TcpStream, upstream: &str, mode: &Mutex<Mode>, writes: &Mutex<u64>) -> io::Result<()> {
    if is_dead(mode) {
        return Ok(());
    }
    let Some(request) = read_request(&mut client)? else { return Ok(()) };
    let first_line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    let is_write = first_line.contains("/_bulk") || (first_line.starts_with("PUT") && first_line.contains("/_doc/"));
    let bad = match now(mode) {
        Mode::Bad { every, status, after } if is_write => {
            let mut writes = writes.lock().unwrap_or_else(PoisonError::into_inner);
            *writes += 1;
            writes.is_multiple_of(every).then_some((status, after))
        }
        _ => None,
    };
    let answer = match bad {
        Some((_, false)) => None,
        _ => Some(ask(upstream, &request)?),
    };
    if is_dead(mode) {
        return Ok(());
    }
    match (bad, answer) {
        (Some((None, _)), _) => Ok(()),
        (Some((Some(status), _)), _) => {
            let body = r#"{"error":{"type":"fault","reason":"by the fault harness"}}"#;
            let length = body.len();
            write!(
                client,
                "HTTP/1.1 {status} Fault\r\ncontent-type: application/json\r\nx-elastic-product: Elasticsearch\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
        }
        (None, Some(answer)) => client.write_all(&answer),
        (None, None) => Ok(()),
    }
}

/// A whole request, changed to close its connection.
fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
            let header = |line: &str, name: &str| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            };
            let length = text.lines().find_map(|line| header(line, "content-length")?.parse::<usize>().ok()).unwrap_or(0);
            if bytes.len() >= head + 4 + length {
                let kept = text.split("\r\n").filter(|line| header(line, "connection").is_none());
                let mut request = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
                request.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
                request.extend_from_slice(&bytes[head + 4..head + 4 + length]);
                return Ok(Some(request));
            }
        }
        match client.read(&mut piece)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// Sends a request that closes its connection, and returns the whole answer.
pub fn ask(upstream: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(Duration::from_secs(60)))?;
    server.write_all(request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    // The client is told too, or it would use a connection again that is closed.
    let head = answer.windows(2).position(|window| window == b"\r\n").unwrap_or(answer.len());
    let has = answer.windows(17).take(2_000).any(|window| window.eq_ignore_ascii_case(b"connection: close"));
    if !has && head < answer.len() {
        answer.splice(head..head, b"\r\nconnection: close".iter().copied());
    }
    Ok(answer)
}
