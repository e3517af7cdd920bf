//! Settings that are one of a few words.

use spotstream_core::robot::stream_parameters::AwbMode;

use crate::edge::pins::Role;

/// One of a few words.
pub trait Choice: Copy + PartialEq + 'static {
    /// The words and what they mean, in the order in which they are offered.
    const WORDS: &'static [(&'static str, Self)];

    /// The choice that is written as `word`.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, choice)| *choice)
    }

    /// As it is written.
    fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, choice)| *choice == self)
            .map_or("", |(word, _)| *word)
    }
}

impl Choice for AwbMode {
    #[expect(
        clippy::indexing_slicing,
        reason = "a constant: an index out of range does not compile"
    )]
    const WORDS: &'static [(&'static str, Self)] = &{
        let mut words = [("", Self::Off); Self::ALL.len()];
        let mut index = 0;
        while index < words.len() {
            words[index] = (Self::ALL[index].name(), Self::ALL[index]);
            index += 1;
        }
        words
    };
}

impl Choice for Role {
    const WORDS: &'static [(&'static str, Self)] = &[("robot", Self::Robot), ("camera", Self::Camera)];
}

macro_rules! choices {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];
        }
    )* };
}

choices! {
    /// Where the sound comes from.
    Audio {
        /// The camera's microphone.
        Camera = "camera",
        /// Nowhere: a silent track.
        Silent = "silent",
    }
    /// The least important level that is written.
    LogLevel {
        /// A person must act.
        Error = "error",
        /// Somebody will want to know tomorrow.
        Warn = "warn",
        /// One line per state change.
        Info = "info",
        /// One line per event.
        Debug = "debug",
        /// One line per packet.
        Trace = "trace",
    }
    /// How we log in.
    LoginKind {
        /// As a user of the robot.
        User = "user",
        /// As a payload, which the robot's administrator authorizes once.
        Payload = "payload",
    }
}

impl LogLevel {
    /// The library's word for it.
    pub fn tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
            Self::Trace => tracing::Level::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_itself() {
        for (word, mode) in AwbMode::WORDS {
            assert_eq!(mode.as_str(), *word);
            assert_eq!(AwbMode::from_word(word), Some(*mode));
        }
        assert_eq!(AwbMode::from_word("Auto "), None);
    }
}
