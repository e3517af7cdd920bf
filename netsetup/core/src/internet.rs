//! Whether the internet answers, and what it means when it does not.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;

use crate::Deadline;
use crate::desired::Ingest;
use crate::names::{InterfaceName, MacAddress};
use crate::status::{Internet, Reason};

/// The pause between two questions to an internet that does not answer as it should.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// What the internet is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The uplink: all sockets are bound to it.
    pub interface: InterfaceName,
    /// Our address there.
    pub address: Ipv4Net,
    /// Its DNS servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// Who gave us the address; none when it did not come by DHCP.
    pub lease: Option<Lease>,
    /// The server to reach.
    pub ingest: Ingest,
}

/// An address by DHCP, as both sides of it are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The server (RFC 2132 section 9.7).
    pub server: Ipv4Addr,
    /// What we were called when we asked for the address.
    pub client: MacAddress,
}

/// What the internet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The ingest server proved who it is.
    Online,
    /// A page wants to be clicked first; its address where it is known.
    CaptivePortal(Option<String>),
    /// No DNS server answers.
    DnsSilent,
    /// DNS answers, but knows no such host.
    NoSuchHost,
    /// The host's name is known, but nobody answers there.
    Unreachable,
    /// Something answers, but it is not the server: its certificate is wrong.
    WrongCertificate,
    /// The certificate is right for another time than our clock's.
    ClockNotSet,
}

/// The internet, as far as it has been asked.
#[derive(Debug, Default)]
pub struct Asked {
    question: Option<Question>,
    verdict: Option<Verdict>,
    again: Option<Instant>,
}

impl Asked {
    /// What is to be asked now; another question than before, a new address included, is asked at once.
    pub fn follow(&mut self, now: Instant, question: Option<Question>) {
        if question == self.question {
            return;
        }
        *self = Self {
            again: question.is_some().then_some(now),
            question,
            verdict: None,
        };
    }

    /// Asks at once what was asked before.
    pub fn ask_now(&mut self, now: Instant) {
        self.again = self.question.is_some().then_some(now);
    }

    /// The question, if the time for it has come.
    pub fn wake(&mut self, now: Instant) -> Option<Question> {
        self.again.take_if(|at| *at <= now)?;
        self.question.clone()
    }

    /// Takes the answer. An internet that answers is not asked again: the stream itself shows whether it stays.
    pub fn answered(&mut self, now: Instant, verdict: Verdict) {
        if self.question.is_some() {
            self.again = (verdict != Verdict::Online).then_some(now + ASK_AGAIN);
            self.verdict = Some(verdict);
        }
    }

    /// The last answer.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// When to call [`Asked::wake`].
    pub fn deadline(&self) -> Deadline {
        self.again.map(|at| (at, "ask the internet"))
    }
}

impl Verdict {
    /// The word for it.
    pub fn internet(&self) -> Internet {
        match self {
            Self::Online => Internet::Yes,
            Self::CaptivePortal(_) => Internet::CaptivePortal,
            Self::DnsSilent
            | Self::NoSuchHost
            | Self::Unreachable
            | Self::WrongCertificate
            | Self::ClockNotSet => Internet::No,
        }
    }

    /// What a person can do about it.
    pub fn reason(&self) -> Option<Reason> {
        let (kind, sentence) = match self {
            Self::Online => return None,
            Self::CaptivePortal(Some(page)) => {
                let sentence = format!(
                    "this WiFi wants a page to be clicked first: register this box's hardware address there, or use \
                     another network; the page is {page}"
                );
                return Some(Reason::new("captive-portal", sentence));
            }
            Self::CaptivePortal(None) => (
                "captive-portal",
                "this WiFi wants a page to be clicked first: register this box's hardware address with its operators, \
                 or use another network",
            ),
            Self::DnsSilent => (
                "dns-silent",
                "the network gave us an address, but its name servers do not answer: it has no internet, or it does \
                 not know this box",
            ),
            Self::NoSuchHost => (
                "no-such-host",
                "the internet answers, but knows no such streaming server: check the server in the settings",
            ),
            Self::Unreachable => (
                "no-internet",
                "the streaming server does not answer: the network has no internet, or blocks the server",
            ),
            Self::WrongCertificate => (
                "wrong-certificate",
                "something in the network answers in the streaming server's place: its certificate is wrong",
            ),
            Self::ClockNotSet => (
                "clock-not-set",
                "the clock of this box is not set yet, so the streaming server cannot be trusted; it is set from the \
                 robot or from the internet",
            ),
        };
        Some(Reason::new(kind, sentence))
    }
}
