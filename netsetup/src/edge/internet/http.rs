//! One GET on a connection of its own, with a limit on everything that is read. The caller limits the time.

use std::io;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// The longest head, and the longest body, in bytes.
const LONGEST: usize = 16 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    head: Response<()>,
    body: Incoming,
    /// Ends the connection when it is dropped.
    _connection: JoinSet<hyper::Result<()>>,
}

/// Asks the server at the other end of `stream` for `path`, and waits for the head of its answer.
///
/// # Errors
/// When the connection breaks, or what comes is not HTTP, or a head without end.
pub(super) async fn get<S>(stream: S, host: &str, path: &str, accept: &str) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let question = Request::get(path)
        .header(HOST, host)
        .header(ACCEPT, accept)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let answer = sender.send_request(question).await.map_err(io::Error::other)?;
    let (head, body) = answer.into_parts();
    Ok(Answer {
        head: Response::from_parts(head, ()),
        body,
        _connection: tasks,
    })
}

impl Answer {
    /// The status code.
    pub(super) fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Where a redirection leads, up to the first character that no address has.
    pub(super) fn location(&self) -> Option<String> {
        let bytes = self.head.headers().get(LOCATION)?.as_bytes();
        let printable = bytes.iter().take_while(|byte| byte.is_ascii_graphic());
        Some(printable.map(|&byte| char::from(byte)).collect())
    }

    /// The kind of the body, without its parameters.
    pub(super) fn content_type(&self) -> Option<&str> {
        let kind = self.head.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        Some(kind.split(';').next()?.trim())
    }

    /// The body.
    ///
    /// # Errors
    /// When the connection breaks, or the body is longer than 16 KiB.
    pub(super) async fn body(self) -> io::Result<Bytes> {
        let body = Limited::new(self.body, LONGEST).collect().await;
        Ok(body.map_err(io::Error::other)?.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    /// What becomes of a GET that is answered with `answer`, again and again while `endless`.
    async fn get_from(answer: &'static [u8], endless: bool) -> io::Result<(StatusCode, Bytes)> {
        let (ours, mut theirs) = duplex(1024);
        tokio::spawn(async move {
            let _ = theirs.read(&mut [0; 1024]).await;
            while theirs.write_all(answer).await.is_ok() && endless {}
        });
        let whole = async {
            let answer = get(ours, "portal.example", "/", "*/*").await?;
            Ok((answer.status(), answer.body().await?))
        };
        timeout(Duration::from_secs(5), whole).await.expect("no end")
    }

    #[tokio::test]
    async fn heads_and_bodies_without_end_are_cut_off() {
        let good = get_from(b"HTTP/1.1 511 Wait\r\ncontent-length: 2\r\n\r\nno", false).await;
        assert_eq!(
            good.unwrap(),
            (StatusCode::NETWORK_AUTHENTICATION_REQUIRED, "no".into())
        );
        get_from(b"HTTP/1.1 200 OK\r\n\r\n", true).await.unwrap_err();
        get_from(b"HTTP/1.1 200 OK\r\nx: ", true).await.unwrap_err();
        get_from(b"HTTP/1.1 100 Continue\r\n\r\n", false)
            .await
            .unwrap_err();
        get_from(b"\0\xff\x17random", true).await.unwrap_err();
    }
}
