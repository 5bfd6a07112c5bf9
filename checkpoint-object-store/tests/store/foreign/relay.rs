//! What stands between a program and a server, and can lose an answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const METHODS: [&[u8]; 5] = [b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE "];

/// Passes the bytes of each connection on, in both directions.
pub struct Relay {
    address: SocketAddr,
    /// The number of requests that still pass before one loses its answer.
    left: Arc<Mutex<Option<usize>>>,
}

impl Relay {
    pub fn start(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay { address: listener.local_addr().unwrap(), left: Arc::default() };
        let left = Arc::clone(&relay.left);
        thread::spawn(move || {
            for program in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let left = Arc::clone(&left);
                thread::spawn(move || pass(&program, &server, &left));
            }
        });
        relay
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer of a request is lost, after this number of others.
    pub fn lose_answer_after(&self, requests: usize) {
        *self.left.lock().unwrap() = Some(requests);
    }

    /// Loses no more answers. Returns false where one was lost.
    pub fn lose_none(&self) -> bool {
        self.left.lock().unwrap().take().is_some()
    }
}

fn pass(program: &TcpStream, server: &TcpStream, left: &Mutex<Option<usize>>) -> io::Result<()> {
    program.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // True while the answer on its way is one to lose.
    let loses = Mutex::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(server, program, |_| !*loses.lock().unwrap());
            let _ = (program.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        });
        let copied = copy(program, server, |bytes| {
            // A program waits for the answer before it sends the next request.
            if METHODS.iter().any(|method| bytes.starts_with(method)) {
                let mut left = left.lock().unwrap();
                *loses.lock().unwrap() = *left == Some(0);
                *left = left.and_then(|left| left.checked_sub(1));
            }
            true
        });
        let _ = server.shutdown(Shutdown::Write);
        copied
    })
}

/// Copies until the end, or until some bytes are not wanted.
fn copy(mut from: &TcpStream, mut to: &TcpStream, wants: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 || !wants(&buffer[..length]) {
            return Ok(());
        }
        to.write_all(&buffer[..length])?;
    }
}
