//! The conversation of one publication: which command when, and what the server's answers mean.
//!
//! The order is the one of OBS, which every server knows, Twitch's before all:
//! `connect`, `releaseStream`, `FCPublish`, `createStream`, `publish`, and `FCUnpublish`, `deleteStream` at the end.
//! `releaseStream` and the `FC` commands are older than RTMP 1.0 and stand in no specification.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::amf::{self, Value};
use super::directory::Target;
use super::refusal::is_fatal;
use super::{Message, message_type};
use crate::Deadline;

pub use super::refusal::{Error, HUNG_UP};

/// Our chunk size: that of OBS. A larger one saves 1 byte in 4096 and surprises servers.
const CHUNK_SIZE: u32 = 4096;

/// How long a server may take for any one answer.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A server that hangs up so soon after it has accepted a publication did not like it: nginx-rtmp says
/// `NetStream.Publish.Start` before it asks who may publish.
const PROBATION: Duration = Duration::from_secs(2);

/// What happened on the connection.
#[derive(Clone, Debug)]
pub enum Input {
    /// TCP, TLS and the handshake are done.
    Opened,
    /// A message from the server.
    Message(Message),
    /// How many bytes the server has sent in all, the handshake included.
    Received(u64),
    /// The server has closed the connection, in good order or not.
    ClosedByServer,
    /// The publication is to end.
    Close,
    /// Nothing, but time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell the server that our chunks have this size, and make them so.
    SetChunkSize(u32),
    /// Send this.
    Send(Message),
    /// The server waits for media on this message stream.
    Publishing {
        /// The message stream id.
        stream_id: u32,
    },
    /// The goodbyes are said: close the connection when they are sent.
    Finished,
    /// It is over. Close the connection.
    Failed(Error),
}

/// The part of the conversation that is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The handshake.
    Opening,
    /// `connect` is not answered yet.
    Connecting,
    /// `createStream` is not answered yet.
    Creating,
    /// `publish` is not answered yet.
    Publishing,
    /// Media flows.
    Live,
    /// Nothing more is said.
    Ended,
}

impl Step {
    /// The command whose answer is awaited, for a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Opening => "the handshake",
            Self::Connecting => "connect",
            Self::Creating => "createStream",
            Self::Publishing => "publish",
            Self::Live => "the stream",
            Self::Ended => "the end",
        }
    }
}

/// Transaction ids: each command is sent once, so each has its own number.
mod transaction {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE_STREAM: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE_STREAM: f64 = 4.0;
    pub(super) const PUBLISH: f64 = 5.0;
    pub(super) const FC_UNPUBLISH: f64 = 6.0;
    pub(super) const DELETE_STREAM: f64 = 7.0;
    pub(super) const CHECK_BANDWIDTH: f64 = 8.0;
}

/// User control events (RTMP 1.0 section 6.2).
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// The machine of one connection.
#[derive(Debug)]
pub struct Publisher {
    target: Target,
    step: Step,
    answer_by: Option<Instant>,
    accepted_at: Option<Instant>,
    stream_id: u32,
    /// After how many bytes the server wants an acknowledgement.
    window: Option<u32>,
    acknowledged: u64,
    our_window: u32,
    bandwidth_checked: bool,
    outputs: VecDeque<Output>,
}

impl Publisher {
    /// A publication to `target`; the caller is opening the connection now.
    pub fn new(now: Instant, target: Target) -> Self {
        Self {
            target,
            step: Step::Opening,
            answer_by: Some(now + ANSWER_LIMIT),
            accepted_at: None,
            stream_id: 0,
            window: None,
            acknowledged: 0,
            our_window: 0,
            bandwidth_checked: false,
            outputs: VecDeque::new(),
        }
    }

    /// What is going on.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Opened if self.step == Step::Opening => self.connect(now),
            Input::Opened => {}
            Input::Message(message) => self.message(now, &message),
            Input::Received(total) => self.acknowledge(total),
            Input::ClosedByServer => self.closed_by_server(now),
            Input::Close => self.close(),
            Input::Tick => {
                if self.answer_by.is_some_and(|by| now >= by) {
                    self.fail(Error::Timeout { step: self.step });
                }
            }
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When an answer is overdue.
    pub fn deadline(&self) -> Deadline {
        self.answer_by.map(|by| (by, "the server's answer"))
    }

    fn connect(&mut self, now: Instant) {
        self.outputs.push_back(Output::SetChunkSize(CHUNK_SIZE));
        let url = self.target.tc_url();
        let properties = [
            ("app", self.target.app.as_str()),
            ("type", "nonprivate"),
            ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)"),
            ("swfUrl", url.as_str()),
            ("tcUrl", url.as_str()),
        ];
        let object = properties.map(|(name, value)| (name.to_owned(), Value::string(value)));
        self.command(
            0,
            "connect",
            transaction::CONNECT,
            vec![Value::Object(object.into())],
        );
        self.expect(now, Step::Connecting);
    }

    fn create(&mut self, now: Instant) {
        self.command(
            0,
            "releaseStream",
            transaction::RELEASE_STREAM,
            vec![Value::Null, self.key()],
        );
        self.command(
            0,
            "FCPublish",
            transaction::FC_PUBLISH,
            vec![Value::Null, self.key()],
        );
        self.command(0, "createStream", transaction::CREATE_STREAM, vec![Value::Null]);
        self.expect(now, Step::Creating);
    }

    fn publish(&mut self, now: Instant, stream_id: u32) {
        self.stream_id = stream_id;
        let arguments = vec![Value::Null, self.key(), Value::string("live")];
        self.command(stream_id, "publish", transaction::PUBLISH, arguments);
        self.expect(now, Step::Publishing);
    }

    fn close(&mut self) {
        if matches!(self.step, Step::Publishing | Step::Live) {
            self.command(
                0,
                "FCUnpublish",
                transaction::FC_UNPUBLISH,
                vec![Value::Null, self.key()],
            );
            let arguments = vec![Value::Null, Value::Number(f64::from(self.stream_id))];
            self.command(0, "deleteStream", transaction::DELETE_STREAM, arguments);
        }
        if self.step != Step::Ended {
            self.end(Output::Finished);
        }
    }

    fn closed_by_server(&mut self, now: Instant) {
        // Servers that ask a back end about the key, Twitch among them, hang up instead of answering.
        let refused =
            self.step == Step::Publishing || self.accepted_at.is_some_and(|at| now < at + PROBATION);
        self.fail(if refused {
            let description = "the server hung up on publish".to_owned();
            Error::Refused {
                code: HUNG_UP.to_owned(),
                description,
            }
        } else {
            Error::Closed { step: self.step }
        });
    }

    fn message(&mut self, now: Instant, message: &Message) {
        if self.step == Step::Ended {
            return;
        }
        match message.type_id {
            message_type::COMMAND => self.command_bytes(now, &message.payload),
            // One byte says that AMF3 may follow; in practice AMF0 does.
            message_type::COMMAND_AMF3 => {
                self.command_bytes(now, message.payload.get(1..).unwrap_or_default())
            }
            message_type::USER_CONTROL => self.user_control(&message.payload),
            message_type::WINDOW_SIZE => self.window = number(&message.payload),
            message_type::SET_PEER_BANDWIDTH => self.peer_bandwidth(&message.payload),
            _ => {}
        }
    }

    fn command_bytes(&mut self, now: Instant, bytes: &[u8]) {
        match amf::read_all(bytes) {
            Ok(values) => self.server_command(now, &values),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Commands may have any number of values: some servers leave out what they have nothing to say on.
    fn server_command(&mut self, now: Instant, values: &[Value]) {
        let name = values.first().and_then(Value::as_str).unwrap_or_default();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or_default();
        let argument = values.get(3);
        match (name, self.step) {
            ("_result", Step::Connecting) if transaction == transaction::CONNECT => self.create(now),
            ("_result", Step::Creating) if transaction == transaction::CREATE_STREAM => {
                match argument.and_then(Value::as_number).and_then(stream_id) {
                    Some(stream_id) => self.publish(now, stream_id),
                    None => self.fail(Error::NoStream),
                }
            }
            ("_error", step) => {
                // Servers that do not know releaseStream and FCPublish say so, and that is all.
                let awaited = match step {
                    Step::Connecting => transaction::CONNECT,
                    Step::Creating => transaction::CREATE_STREAM,
                    Step::Publishing => transaction::PUBLISH,
                    Step::Opening | Step::Live | Step::Ended => return,
                };
                if transaction == awaited {
                    let error = Error::from_status(argument.or(values.get(2)), &self.target.key);
                    self.fail(error);
                }
            }
            ("onStatus", _) => self.status(now, argument.or(values.get(2))),
            ("onBWDone", _) if !self.bandwidth_checked => {
                self.bandwidth_checked = true;
                self.command(0, "_checkbw", transaction::CHECK_BANDWIDTH, vec![Value::Null]);
            }
            ("_onbwcheck", _) => {
                self.command(0, "_result", transaction, vec![Value::Null, Value::Number(0.0)]);
            }
            ("close", _) => self.closed_by_server(now),
            _ => {}
        }
    }

    fn status(&mut self, now: Instant, information: Option<&Value>) {
        let text = |name| {
            information
                .and_then(|object| object.get(name))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (level, code) = (text("level"), text("code"));
        if code == "NetStream.Publish.Start" {
            if self.step == Step::Publishing {
                self.step = Step::Live;
                self.answer_by = None;
                self.accepted_at = Some(now);
                self.outputs.push_back(Output::Publishing {
                    stream_id: self.stream_id,
                });
            }
        } else if level == "error" || is_fatal(code) {
            let error = Error::from_status(information, &self.target.key);
            self.fail(error);
        }
    }

    fn user_control(&mut self, payload: &[u8]) {
        if let Some((event, data)) = payload.split_first_chunk()
            && u16::from_be_bytes(*event) == PING_REQUEST
        {
            let mut body = PING_RESPONSE.to_be_bytes().to_vec();
            body.extend_from_slice(data);
            self.send(0, message_type::USER_CONTROL, body);
        }
    }

    /// Section 5.4.5: answer with our own window when it is not the one said last.
    fn peer_bandwidth(&mut self, payload: &[u8]) {
        if let Some(window) = number(payload)
            && window != self.our_window
        {
            self.our_window = window;
            self.send(0, message_type::WINDOW_SIZE, window.to_be_bytes().to_vec());
        }
    }

    /// Section 5.4.3: the running total since the beginning, in 32 bits.
    fn acknowledge(&mut self, total: u64) {
        let Some(window) = self.window else { return };
        if self.step != Step::Ended && total - self.acknowledged.min(total) >= u64::from(window.max(1)) {
            self.acknowledged = total;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the sequence number is modulo 2^32"
            )]
            let sequence = total as u32;
            self.send(0, message_type::ACKNOWLEDGEMENT, sequence.to_be_bytes().to_vec());
        }
    }

    fn key(&self) -> Value {
        Value::string(self.target.key.reveal())
    }

    fn command(&mut self, stream_id: u32, name: &str, transaction: f64, arguments: Vec<Value>) {
        let mut values = vec![Value::string(name), Value::Number(transaction)];
        values.extend(arguments);
        self.send(stream_id, message_type::COMMAND, amf::write_all(&values));
    }

    fn send(&mut self, stream_id: u32, type_id: u8, body: Vec<u8>) {
        let message = Message {
            type_id,
            stream_id,
            timestamp: 0,
            payload: Bytes::from(body),
        };
        self.outputs.push_back(Output::Send(message));
    }

    fn expect(&mut self, now: Instant, step: Step) {
        self.step = step;
        self.answer_by = Some(now + ANSWER_LIMIT);
    }

    fn fail(&mut self, error: Error) {
        if self.step != Step::Ended {
            self.end(Output::Failed(error));
        }
    }

    fn end(&mut self, last: Output) {
        self.step = Step::Ended;
        self.answer_by = None;
        self.outputs.push_back(last);
    }
}

fn stream_id(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (1.0..=f64::from(u32::MAX))
        .contains(&number)
        .then_some(number as u32)
}

fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use proptest::prelude::*;

    const KEY: &str = "live_123_abc";

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the origin of virtual time"
    )]
    fn origin() -> Instant {
        Instant::now()
    }

    fn publisher(now: Instant) -> Publisher {
        Publisher::new(
            now,
            Target::parse("rtmp://ingest.example/app", &Secret::new(KEY)).unwrap(),
        )
    }

    fn command(values: &[Value]) -> Input {
        let payload = Bytes::from(amf::write_all(values));
        Input::Message(Message {
            type_id: message_type::COMMAND,
            stream_id: 0,
            timestamp: 0,
            payload,
        })
    }

    fn control(type_id: u8, body: &'static [u8]) -> Input {
        Input::Message(Message {
            type_id,
            stream_id: 0,
            timestamp: 0,
            payload: Bytes::from_static(body),
        })
    }

    fn result(transaction: f64, argument: Value) -> Input {
        command(&[
            Value::string("_result"),
            Value::Number(transaction),
            Value::Null,
            argument,
        ])
    }

    fn on_status(level: &str, code: &str, description: &str) -> Input {
        command(&[
            Value::string("onStatus"),
            Value::Number(0.0),
            Value::Null,
            status(level, code, description),
        ])
    }

    fn status(level: &str, code: &str, description: &str) -> Value {
        let text = |name: &str, value: &str| (name.to_owned(), Value::string(value));
        Value::Object(vec![
            text("level", level),
            text("code", code),
            text("description", description),
        ])
    }

    fn outputs(publisher: &mut Publisher) -> Vec<Output> {
        std::iter::from_fn(|| publisher.poll()).collect()
    }

    /// The commands among the outputs, as (stream, name and arguments).
    fn commands(publisher: &mut Publisher) -> Vec<(u32, Vec<Value>)> {
        let mut commands = Vec::new();
        for output in outputs(publisher) {
            if let Output::Send(message) = output
                && message.type_id == message_type::COMMAND
            {
                commands.push((message.stream_id, amf::read_all(&message.payload).unwrap()));
            }
        }
        commands
    }

    fn names(publisher: &mut Publisher) -> Vec<String> {
        commands(publisher)
            .into_iter()
            .map(|(_, values)| values[0].to_string())
            .collect()
    }

    /// A publisher that has got as far as `step`, and has nothing more to say.
    fn at(step: Step, now: Instant) -> Publisher {
        let mut publisher = publisher(now);
        let inputs = [
            (Step::Connecting, Input::Opened),
            (Step::Creating, result(1.0, Value::Null)),
            (Step::Publishing, result(4.0, Value::Number(1.0))),
            (Step::Live, on_status("status", "NetStream.Publish.Start", "")),
        ];
        for (reached, input) in inputs {
            if publisher.step() == step {
                break;
            }
            publisher.handle(now, input);
            assert_eq!(publisher.step(), reached);
        }
        outputs(&mut publisher);
        publisher
    }

    fn error(publisher: &mut Publisher) -> Error {
        let Some(Output::Failed(error)) = outputs(publisher).pop() else {
            panic!("no error")
        };
        error
    }

    #[test]
    fn a_publication_says_what_obs_says_in_the_order_of_obs() {
        let now = origin();
        let mut publisher = publisher(now);
        assert_eq!(outputs(&mut publisher), []);

        publisher.handle(now, Input::Opened);
        assert_eq!(publisher.poll(), Some(Output::SetChunkSize(4096)));
        let connect = commands(&mut publisher).remove(0);
        assert_eq!((connect.0, connect.1[0].as_str()), (0, Some("connect")));
        let Value::Object(properties) = &connect.1[2] else {
            panic!("{connect:?}")
        };
        let properties: Vec<_> = properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .collect();
        let url = "rtmp://ingest.example/app".to_owned();
        assert_eq!(
            properties,
            [
                ("app", "app".to_owned()),
                ("type", "nonprivate".to_owned()),
                ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)".to_owned()),
                ("swfUrl", url.clone()),
                ("tcUrl", url),
            ]
        );

        publisher.handle(
            now,
            result(1.0, status("status", "NetConnection.Connect.Success", "")),
        );
        let text = Value::string;
        assert_eq!(
            commands(&mut publisher),
            [
                (
                    0,
                    vec![text("releaseStream"), Value::Number(2.0), Value::Null, text(KEY)]
                ),
                (
                    0,
                    vec![text("FCPublish"), Value::Number(3.0), Value::Null, text(KEY)]
                ),
                (0, vec![text("createStream"), Value::Number(4.0), Value::Null]),
            ]
        );

        publisher.handle(now, result(4.0, Value::Number(7.0)));
        assert_eq!(
            commands(&mut publisher),
            [(
                7,
                vec![
                    text("publish"),
                    Value::Number(5.0),
                    Value::Null,
                    text(KEY),
                    text("live")
                ]
            )]
        );

        publisher.handle(
            now,
            on_status("status", "NetStream.Publish.Start", "Start publishing"),
        );
        assert_eq!(outputs(&mut publisher), [Output::Publishing { stream_id: 7 }]);
        assert_eq!(publisher.deadline(), None);

        publisher.handle(now, Input::Close);
        assert_eq!(
            commands(&mut publisher),
            [
                (
                    0,
                    vec![text("FCUnpublish"), Value::Number(6.0), Value::Null, text(KEY)]
                ),
                (
                    0,
                    vec![
                        text("deleteStream"),
                        Value::Number(7.0),
                        Value::Null,
                        Value::Number(7.0)
                    ]
                ),
            ]
        );
    }

    #[test]
    fn closing_before_publish_says_no_goodbyes() {
        let now = origin();
        for step in [Step::Opening, Step::Connecting, Step::Creating] {
            let mut publisher = at(step, now);
            publisher.handle(now, Input::Close);
            assert_eq!(outputs(&mut publisher), [Output::Finished]);
            publisher.handle(now, Input::ClosedByServer);
            assert_eq!(outputs(&mut publisher), []);
        }
    }

    #[test]
    fn each_answer_has_ten_seconds() {
        let now = origin();
        for step in [Step::Opening, Step::Connecting, Step::Creating, Step::Publishing] {
            let mut publisher = at(step, now);
            let by = now + ANSWER_LIMIT;
            assert_eq!(publisher.deadline().map(|(by, _)| by), Some(by));
            publisher.handle(by - Duration::from_millis(1), Input::Tick);
            assert_eq!(outputs(&mut publisher), []);
            publisher.handle(by, Input::Tick);
            let error = error(&mut publisher);
            assert_eq!(error, Error::Timeout { step });
            assert!(error.is_retryable());
            assert_eq!(publisher.deadline(), None);
        }
    }

    #[test]
    fn every_refusal_has_its_kind_and_says_whether_to_try_again() {
        let now = origin();
        let cases = [
            ("NetStream.Publish.BadName", "stale-session", true),
            ("NetStream.Publish.Rejected", "key-refused", false),
            ("NetStream.Publish.Denied", "key-refused", false),
            ("NetStream.Publish.Unauthorized", "key-refused", false),
            ("NetStream.Failed", "ingest-status", true),
            ("NetConnection.Connect.InvalidApp", "no-application", false),
            ("Something.New", "ingest-status", true),
        ];
        for (code, kind, retryable) in cases {
            let mut publisher = at(Step::Publishing, now);
            publisher.handle(now, on_status("error", code, "no"));
            let error = error(&mut publisher);
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}");
            assert_eq!(publisher.step(), Step::Ended);
        }
    }

    #[test]
    fn fatal_codes_are_fatal_without_the_level_error_and_others_are_not() {
        let now = origin();
        let mut publisher = at(Step::Live, now);
        publisher.handle(now, on_status("status", "NetStream.Data.Start", ""));
        assert_eq!(outputs(&mut publisher), []);
        publisher.handle(now, on_status("status", "NetStream.Publish.Denied", "no"));
        assert_eq!(error(&mut publisher).kind(), "key-refused");
    }

    #[test]
    fn an_error_instead_of_a_result_ends_it_unless_the_command_was_optional() {
        let now = origin();
        let answer = |transaction, code| {
            let values = [
                Value::string("_error"),
                Value::Number(transaction),
                Value::Null,
                status("error", code, ""),
            ];
            command(&values)
        };
        let mut connecting = at(Step::Connecting, now);
        connecting.handle(now, answer(1.0, "NetConnection.Connect.Rejected"));
        assert_eq!(error(&mut connecting).kind(), "key-refused");

        let mut creating = at(Step::Creating, now);
        creating.handle(now, answer(2.0, "NetConnection.Call.Failed"));
        creating.handle(now, answer(3.0, "NetConnection.Call.Failed"));
        assert_eq!(outputs(&mut creating), []);
        creating.handle(now, answer(4.0, "NetConnection.Call.Failed"));
        assert_eq!(error(&mut creating).kind(), "ingest-status");
    }

    #[test]
    fn hanging_up_on_publish_or_right_after_it_is_a_refused_key_and_at_any_other_time_it_is_not() {
        let now = origin();
        for step in [
            Step::Opening,
            Step::Connecting,
            Step::Creating,
            Step::Publishing,
            Step::Live,
        ] {
            for (later, probation) in [(Duration::ZERO, true), (PROBATION, false)] {
                let mut publisher = at(step, now);
                publisher.handle(now + later, Input::ClosedByServer);
                let refused = step == Step::Publishing || step == Step::Live && probation;
                assert_eq!(
                    error(&mut publisher).is_retryable(),
                    !refused,
                    "{step:?} {later:?}"
                );
            }
        }
    }

    #[test]
    fn a_stream_key_that_the_server_quotes_is_cut_out() {
        let now = origin();
        for quoted in [KEY.to_owned(), format!("{KEY}?bandwidthtest=true")] {
            let target = Target::parse("rtmp://ingest.example/app", &Secret::new(KEY)).unwrap();
            let mut publisher = Publisher::new(now, target.with_bandwidth_test());
            publisher.handle(
                now,
                on_status("error", "NetStream.Failed", &format!("{quoted} is not known")),
            );
            let error = error(&mut publisher);
            assert!(error.to_string().contains("is not known"));
            assert!(!format!("{error} {error:?}").contains(KEY));
        }
    }

    #[test]
    fn pings_are_answered_and_short_events_are_ignored() {
        let now = origin();
        let mut publisher = at(Step::Live, now);
        publisher.handle(
            now,
            control(message_type::USER_CONTROL, b"\0\x06\x01\x02\x03\x04"),
        );
        let answer = match publisher.poll() {
            Some(Output::Send(message)) => (message.type_id, message.payload),
            other => panic!("{other:?}"),
        };
        assert_eq!(answer, (4, Bytes::from_static(b"\0\x07\x01\x02\x03\x04")));
        publisher.handle(now, control(message_type::USER_CONTROL, b"\0"));
        assert_eq!(outputs(&mut publisher), []);
    }

    #[test]
    fn acknowledgements_carry_the_running_total() {
        let now = origin();
        let mut publisher = at(Step::Live, now);
        publisher.handle(now, Input::Received(5000));
        assert_eq!(outputs(&mut publisher), [], "no window was set");
        publisher.handle(now, control(message_type::WINDOW_SIZE, b"\0\0\x03\xe8"));
        let mut totals = Vec::new();
        for total in [5500, 6000, 6499, 6501, 0x1_0000_0000] {
            publisher.handle(now, Input::Received(total));
            for output in outputs(&mut publisher) {
                let Output::Send(message) = output else {
                    panic!("{output:?}")
                };
                assert_eq!(message.type_id, 3);
                totals.push(number(&message.payload).unwrap());
            }
        }
        assert_eq!(totals, [5500, 6501, 0]);
    }

    #[test]
    fn a_new_bandwidth_is_answered_with_our_window_once() {
        let now = origin();
        let mut publisher = at(Step::Connecting, now);
        publisher.handle(
            now,
            control(message_type::SET_PEER_BANDWIDTH, b"\0\x4c\x4b\x40\x02"),
        );
        publisher.handle(
            now,
            control(message_type::SET_PEER_BANDWIDTH, b"\0\x4c\x4b\x40\x02"),
        );
        let sent = outputs(&mut publisher);
        assert!(
            matches!(&sent[..], [Output::Send(Message { type_id: 5, payload, .. })] if **payload == *b"\0\x4c\x4b\x40")
        );
    }

    #[test]
    fn on_bw_done_without_arguments_is_answered_once() {
        let now = origin();
        let mut publisher = at(Step::Connecting, now);
        publisher.handle(now, command(&[Value::string("onBWDone"), Value::Number(0.0)]));
        publisher.handle(now, command(&[Value::string("onBWDone")]));
        assert_eq!(names(&mut publisher), ["_checkbw"]);
    }

    #[test]
    fn a_stream_id_that_is_none_is_refused() {
        let now = origin();
        for answer in [
            Value::Null,
            Value::Number(-1.0),
            Value::Number(f64::NAN),
            Value::Number(1e12),
        ] {
            let mut publisher = at(Step::Creating, now);
            publisher.handle(now, result(4.0, answer));
            assert_eq!(error(&mut publisher), Error::NoStream);
        }
    }

    #[test]
    fn a_command_announced_as_amf3_is_read() {
        let now = origin();
        let mut publisher = at(Step::Creating, now);
        let mut body = vec![0];
        body.extend(amf::write_all(&[
            Value::string("_result"),
            Value::Number(4.0),
            Value::Null,
            Value::Number(1.0),
        ]));
        let message = Message {
            type_id: 17,
            stream_id: 0,
            timestamp: 0,
            payload: Bytes::from(body),
        };
        publisher.handle(now, Input::Message(message));
        assert_eq!(publisher.step(), Step::Publishing);
    }

    proptest! {
        #[test]
        fn arbitrary_messages_do_no_harm_at_any_step(
            messages in prop::collection::vec((0..24_u8, prop::collection::vec(any::<u8>(), 0..64)), 0..20),
            names in prop::collection::vec(("_result|_error|onStatus|close|onBWDone|_onbwcheck", 0..8_u8), 0..20),
        ) {
            let now = origin();
            for step in [Step::Opening, Step::Connecting, Step::Creating, Step::Publishing, Step::Live] {
                let mut publisher = at(step, now);
                for (type_id, body) in &messages {
                    let payload = Bytes::from(body.clone());
                    let message = Message { type_id: *type_id, stream_id: 0, timestamp: 0, payload };
                    publisher.handle(now, Input::Message(message));
                }
                for (name, transaction) in &names {
                    let values = [Value::string(name.as_str()), Value::Number(f64::from(*transaction))];
                    publisher.handle(now, command(&values));
                }
                let ends = outputs(&mut publisher).iter().filter(|o| matches!(o, Output::Failed(_))).count();
                prop_assert!(ends <= 1);
            }
        }
    }
}
