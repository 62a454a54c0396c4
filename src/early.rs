//! Health while a start is under way: it may wait for the store, another node's lease or a long recovery, and probes that get
//! no answer would take the process for dead.
//!
//! ```text
//!   bound ─► early: alive, not ready, nothing else ─► early ends, the door is served from the same socket
//! ```

use crate::http;
use millstream_listener::{Handle, Settings, serve};
use std::io;
use tokio::net::TcpListener;

/// A port that answers until its door opens.
pub struct Early {
    /// The same socket: what waits there unaccepted is the door's.
    socket: TcpListener,
    answering: Handle,
}

impl Early {
    /// Answers on a port from now on.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn answer(listener: TcpListener, settings: Settings) -> io::Result<Early> {
        let listener = listener.into_std()?;
        let socket = TcpListener::from_std(listener.try_clone()?)?;
        let answering = serve(TcpListener::from_std(listener)?, http::starting(), settings)?;
        Ok(Early { socket, answering })
    }

    /// The port, for its door. Who is connected is answered to the end and let go meanwhile.
    pub fn end(self) -> TcpListener {
        tokio::spawn(self.answering.stop());
        self.socket
    }
}

#[cfg(test)]
mod tests {
    use super::Early;
    use axum::Router;
    use axum::routing::get;
    use millstream_listener::{Settings, serve};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn probes_are_answered_from_the_first_moment_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let early = Early::answer(listener, Settings::default()).unwrap();
        let ready = ask(address, "/readyz").await;
        assert!(
            ready.starts_with("HTTP/1.1 503 ") && ready.ends_with("unready starting\n"),
            "{ready}"
        );
        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "/metrics").await.starts_with("HTTP/1.1 503 "));
        // Somebody who says nothing does not hold the door up.
        let _silent = TcpStream::connect(address).await.unwrap();
        let router = Router::new().route("/readyz", get(async || "open"));
        let door = serve(early.end(), router, Settings::default()).unwrap();
        // Who comes while the one ends and the other begins may be let go without an answer.
        let opened = async {
            while !ask(address, "/readyz").await.starts_with("HTTP/1.1 200 ") {
                tokio::task::yield_now().await;
            }
        };
        let within = std::time::Duration::from_secs(20);
        tokio::time::timeout(within, opened)
            .await
            .expect("the door answers");
        door.stop().await;
    }
}
