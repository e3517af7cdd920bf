//! One question to the kernel and its whole answer.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_proto::ConnectionHandle;
use netlink_proto::sys::{AsyncSocket, SocketAddr, TokioSocket};

use super::Error;

/// How often a list is read before it is given up as unsteady. A list takes well under a millisecond.
const READINGS: u32 = 16;

/// How long an answer may take. The kernel answers at once; a longer silence means that the answer is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// A netlink socket. A task of the runtime serves it until it is dropped.
#[derive(Clone, Debug)]
pub(in crate::edge) struct Exchange<T: Debug>(ConnectionHandle<T>);

impl<T> Exchange<T>
where
    T: Clone + Debug + NetlinkSerializable + NetlinkDeserializable + Send + Unpin + 'static,
    NetlinkPayload<T>: From<T>,
{
    /// A socket of this netlink family (linux/netlink.h).
    pub(in crate::edge) fn open(family: isize, doing: &str) -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            let (mut connection, handle, _) =
                netlink_proto::new_connection_with_socket::<T, TokioSocket>(family)?;
            // The mark of a torn list may stand on its last message alone.
            connection.set_forward_done(true);
            // Without this, an answer of "no" bears the whole question once more.
            connection.socket_mut().socket_mut().set_cap_ack(true)?;
            tokio::spawn(connection);
            Ok(Self(handle))
        };
        open().map_err(|source| Error::Socket {
            doing: doing.to_owned(),
            source,
        })
    }

    /// All of a list. While it is read, the kernel may change it, and marks it so; then it is read again.
    pub(in crate::edge) async fn list(&self, question: T, doing: &str) -> Result<Vec<T>, Error> {
        for _ in 0..READINGS {
            let messages = self
                .ask(question.clone(), NLM_F_REQUEST | NLM_F_DUMP, doing)
                .await?;
            if let Some(whole) = whole(messages, doing)? {
                return Ok(whole);
            }
        }
        Err(Error::Unsteady {
            doing: doing.to_owned(),
            times: READINGS,
        })
    }

    /// Asks for one thing, or for one change. The answer may be empty.
    pub(in crate::edge) async fn request(
        &self,
        question: T,
        flags: u16,
        doing: &str,
    ) -> Result<Vec<T>, Error> {
        let messages = self
            .ask(question, NLM_F_REQUEST | NLM_F_ACK | flags, doing)
            .await?;
        Ok(whole(messages, doing)?.unwrap_or_default())
    }

    async fn ask(&self, question: T, flags: u16, doing: &str) -> Result<Vec<NetlinkMessage<T>>, Error> {
        let mut message = NetlinkMessage::from(question);
        message.header.flags = flags;
        let kernel = SocketAddr::new(0, 0);
        let answers = self.0.request(message, kernel).map_err(|_| Error::Closed {
            doing: doing.to_owned(),
        })?;
        tokio::time::timeout(SILENCE, answers.collect())
            .await
            .map_err(|_| Error::Silent {
                doing: doing.to_owned(),
            })
    }
}

/// The things that were told, or none where the kernel says that they changed between two of its messages.
fn whole<T: Debug>(messages: Vec<NetlinkMessage<T>>, doing: &str) -> Result<Option<Vec<T>>, Error> {
    let torn = messages
        .iter()
        .any(|message| message.header.flags & NLM_F_DUMP_INTR != 0);
    let mut things = Vec::with_capacity(messages.len());
    for message in messages {
        if let NetlinkPayload::InnerMessage(thing) = message.payload {
            things.push(thing);
        } else if let NetlinkPayload::Done(done) = &message.payload
            && done.code < 0
        {
            let code = done.code.saturating_neg();
            return Err(refused(io::Error::from_raw_os_error(code), doing));
        } else if let NetlinkPayload::Error(error) = &message.payload
            && error.code.is_some()
        {
            return Err(refused(error.to_io(), doing));
        }
    }
    Ok((!torn).then_some(things))
}

fn refused(source: io::Error, doing: &str) -> Error {
    let doing = doing.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::NotPermitted { doing },
        _ => Error::Refused { doing, source },
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{DoneMessage, NetlinkHeader};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::rule::RuleMessage;

    use super::*;

    fn rule(flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewRule(RuleMessage::default()));
        message.header.flags = flags;
        message
    }

    fn done(flags: u16, code: i32) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut message = DoneMessage::default();
        message.code = code;
        NetlinkMessage::new(header, NetlinkPayload::Done(message))
    }

    #[test]
    fn a_list_that_changed_on_the_way_is_not_taken() {
        assert_eq!(
            whole(vec![rule(0), rule(0), done(0, 0)], "")
                .unwrap()
                .unwrap()
                .len(),
            2
        );
        assert!(
            whole(vec![rule(0), rule(NLM_F_DUMP_INTR), done(0, 0)], "")
                .unwrap()
                .is_none()
        );
        assert!(
            whole(vec![rule(0), done(NLM_F_DUMP_INTR, 0)], "")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_list_that_ends_in_an_error_is_an_error() {
        let error = whole(vec![rule(0), done(0, -libc::EPERM)], "list the rules").unwrap_err();
        assert_eq!(error.kind(), "netlink-not-permitted");
        let error = whole(vec![rule(0), done(0, -libc::ENETDOWN)], "list the rules").unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
}
