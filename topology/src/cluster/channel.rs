//! A connection between two processes: as it is, or within TLS.
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::Connection;
use timely::communication::allocator::zero_copy::stream::Stream;

/// What is read from the socket at a time: a record of TLS, and a little more.
const RAW: usize = 18 << 10;

/// A connection. Clones are the same one; one of them reads while another writes.
pub struct Channel {
    socket: TcpStream,
    session: Option<Arc<Session>>,
}

/// What both directions share. Who waits for the socket does not hold `tls`, so that neither direction waits for the other. Locks are taken in the order of
/// the fields, `incoming` or `outgoing` first.
struct Session {
    incoming: Mutex<Incoming>,
    /// Records on their way out, in the order in which they were made.
    outgoing: Mutex<Vec<u8>>,
    tls: Mutex<Connection>,
}

/// Bytes from the socket that TLS has not taken yet.
struct Incoming {
    raw: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Channel {
    /// As it is.
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self { socket, session: None }
    }

    /// Within a session whose handshake is over.
    pub(super) fn within(socket: TcpStream, tls: Connection) -> Self {
        let incoming = Incoming { raw: vec![0; RAW].into(), from: 0, to: 0 };
        let session = Session { incoming: Mutex::new(incoming), outgoing: Mutex::default(), tls: Mutex::new(tls) };
        Self { socket, session: Some(Arc::new(session)) }
    }

    /// How long a read may wait.
    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }
}

impl Session {
    fn tls(&self) -> MutexGuard<'_, Connection> {
        locked(&self.tls)
    }

    /// Sends what TLS makes of `say`.
    fn send<T>(&self, mut socket: &TcpStream, say: impl FnOnce(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        let mut outgoing = locked(&self.outgoing);
        outgoing.clear();
        let said = {
            let mut tls = self.tls();
            let said = say(&mut tls)?;
            while tls.wants_write() {
                tls.write_tls(&mut *outgoing)?;
            }
            said
        };
        socket.write_all(&outgoing)?;
        Ok(said)
    }

    fn receive(&self, mut socket: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        let mut incoming = locked(&self.incoming);
        let Incoming { raw, from, to } = &mut *incoming;
        loop {
            match self.tls().reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if from == to {
                (*from, *to) = (0, socket.read(raw)?);
            }
            let mut tls = self.tls();
            // Nothing, at the end of the socket: TLS then knows whether the other meant it.
            *from += tls.read_tls(&mut &raw[*from..*to])?;
            tls.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

/// A poisoned lock only says that another thread panicked, which ends the process.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Read for Channel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.session {
            None => self.socket.read(into),
            Some(session) => session.receive(&self.socket, into),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            None => self.socket.write(bytes),
            Some(session) => session.send(&self.socket, |tls| tls.writer().write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Channel {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, session: self.session.clone() })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let (Some(session), Shutdown::Write | Shutdown::Both) = (&self.session, how) {
            session.send(&self.socket, |tls| {
                tls.send_close_notify();
                Ok(())
            })?;
        }
        self.socket.shutdown(how)
    }
}
