//! One file as it was written: every key optional, unknown keys refused with the nearest right name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use spotstream_core::secret::Secret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Kind, Place, Problem, nearest_name, printable_name};
use super::syntax;
use super::text::Text;

/// Sections of the same file that other programs of the appliance read.
const SECTIONS_OF_OTHERS: &[&str] = &["network", "wifi", "status"];

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// What a file says about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that has already been reported as wrong.
    Wrong,
    /// A value of the right type.
    Given(At<T>),
}

impl<T> Field<T> {
    fn over(self, below: Self) -> Self {
        match self {
            Self::Absent => below,
            Self::Wrong | Self::Given(_) => self,
        }
    }
}

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// The type in words a student knows.
    const EXPECTED: &'static str;
    fn read(value: &DeValue<'_>) -> Option<Self>;
    /// As it is listed; a secret only as "set".
    fn show(&self) -> String;
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false, without quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const EXPECTED: &'static str = "a whole number, without quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        let number = value.as_integer()?;
        Self::from_str_radix(number.as_str(), number.radix()).ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a text in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(|text| text.trim().to_owned())
    }
    fn show(&self) -> String {
        format!("\"{}\"", self.escape_default())
    }
}

impl Value for Vec<String> {
    const EXPECTED: &'static str = "a list of texts in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value
            .as_array()?
            .iter()
            .map(|item| String::read(item.get_ref()))
            .collect()
    }
    fn show(&self) -> String {
        format!(
            "[{}]",
            self.iter().map(Value::show).collect::<Vec<_>>().join(", ")
        )
    }
}

impl Value for Secret {
    const EXPECTED: &'static str = "a text in quotes";
    fn read(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().map(Self::new)
    }
    fn show(&self) -> String {
        "(set)".to_owned()
    }
}

/// One line of the list of what holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `section.key`.
    pub key: String,
    /// The value; a secret only as "(set)".
    pub value: String,
    /// Where it was written.
    pub place: Place,
}

/// Declares the whole format once: section, key, type, and the example that an error shows.
macro_rules! declare {
    ($($(#[$about:meta])* $section:ident $Section:ident { $($(#[$doc:meta])* $key:ident: $type:ty, $example:literal;)* })*) => {
        /// The sections that this program reads.
        pub const SECTIONS: &[&str] = &[$(stringify!($section)),*];

        /// What one file says, or several laid over each other.
        #[derive(Clone, Debug, Default)]
        pub struct Fragment { $($(#[$about])* pub $section: $Section,)* }

        impl Fragment {
            /// This over `below`, key by key.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($section: $Section { $($key: self.$section.$key.over(below.$section.$key),)* },)* }
            }

            /// All keys that hold, in the order of the format.
            pub fn list(&self) -> Vec<Listed> {
                let mut lines = Vec::new();
                $($(if let Field::Given(at) = &self.$section.$key {
                    lines.push(Listed {
                        key: concat!(stringify!($section), ".", stringify!($key)).to_owned(),
                        value: at.value.show(),
                        place: at.place.clone(),
                    });
                })*)*
                lines
            }

            fn read(root: &DeTable<'_>, reader: &mut Reader<'_>) -> Self {
                Self { $($section: match reader.section(root, stringify!($section)) {
                    None => $Section::default(),
                    Some(table) => {
                        reader.refuse_unknown_keys(stringify!($section), table, $Section::KEYS);
                        $Section { $($key: reader.field(stringify!($section), stringify!($key), table, $example),)* }
                    }
                },)* }
            }
        }

        /// Every key, by the section it belongs to.
        pub const KEYS: &[(&str, &[&str])] = &[$((stringify!($section), $Section::KEYS)),*];

        $($(#[$about])*
        #[derive(Clone, Debug, Default)]
        pub struct $Section { $($(#[$doc])* pub $key: Field<$type>,)* }

        impl $Section { const KEYS: &[&str] = &[$(stringify!($key)),*]; })*
    };
}

declare! {
    /// Where the stream goes.
    stream Stream {
        /// A service known by name: "twitch".
        service: String, r#""twitch""#;
        /// Any other server: `rtmp(s)://host[:port]/app`.
        url: String, r#""rtmps://live.example.org/app""#;
        /// The stream key, or the stream's name on other servers.
        key: Secret, r#""live_...""#;
        /// Twitch: "auto", or one ingest host.
        server: String, r#""auto""#;
        /// Twitch: visible in Twitch Inspector only.
        bandwidth_test: bool, "false";
        /// Whether to go live at power-up.
        autostart: bool, "true";
        /// "camera" or "silent".
        audio: String, r#""camera""#;
        /// PEM file trusted beside the system's roots.
        extra_ca: String, r#""/etc/spotstream/extra-ca.pem""#;
        /// The uplink's interface.
        interface: String, r#""wlan0""#;
    }
    /// How the robot lets us in.
    robot Robot {
        /// "user" or "payload".
        login: String, r#""user""#;
        /// A user of the robot.
        username: String, r#""student""#;
        /// That user's password.
        password: Secret, r#""...""#;
        /// The name in the robot's list of payloads.
        payload_name: String, r#""spotstream""#;
        /// Ready-made payload GUID and secret, two lines.
        credentials_file: String, r#""/opt/payload_credentials/payload_guid_and_secret""#;
        /// The robot's addresses, tried in order.
        hosts: Vec<String>, r#"["192.168.50.3"]"#;
        /// The TCP port of gRPC.
        port: u64, "443";
        /// PEM file of the robot's certificate authority.
        ca: String, r#""/etc/spotstream/robot.pem""#;
        /// The fingerprint of a changed certificate that is right.
        accept_certificate: String, r#""85:10:35:...""#;
        /// The robot's interface.
        interface: String, r#""eth0""#;
    }
    /// What is asked of the camera.
    camera Camera {
        /// The signalling addresses, tried in order.
        hosts: Vec<String>, r#"["192.168.50.6"]"#;
        /// The TCP port of signalling.
        port: u64, "31102";
        /// The fingerprint of a changed certificate that is right.
        accept_certificate: String, r#""85:10:35:...""#;
        /// Kilobits per second of video.
        target_bitrate_kbps: u64, "4000";
        /// The picture is refreshed once in so many frames.
        refresh_interval_frames: u64, "30";
        /// Seconds from IDR to IDR.
        idr_interval_seconds: u64, "2";
        /// White balance.
        awb: String, r#""auto""#;
        /// What the picture shows, of `spotstreamctl screen list`.
        screen: String, r#""mech_full""#;
        /// Whether the camera may lower its bitrate by itself.
        congestion_control: bool, "false";
    }
    /// How much is written to the journal.
    log Log {
        /// The least important level that is written.
        level: String, r#""info""#;
    }
}

impl Fragment {
    /// Reads a file's bytes; what could not be used is in the list of problems.
    pub fn parse(file: &Arc<Path>, bytes: &[u8]) -> (Self, Vec<Problem>) {
        match Text::decode(bytes) {
            Ok(text) => Self::from_text(Some(file), &text),
            Err((line, kind)) => {
                let place = Place::File(Arc::clone(file), line);
                (
                    Self::default(),
                    vec![Problem {
                        place,
                        key: String::new(),
                        kind,
                    }],
                )
            }
        }
    }

    /// Reads text; without a file, its values are defaults.
    pub(super) fn from_text(file: Option<&Arc<Path>>, text: &Text) -> (Self, Vec<Problem>) {
        let (root, errors) = DeTable::parse_recoverable(text.as_str());
        let mut reader = Reader {
            file,
            text,
            problems: Vec::new(),
            bad_lines: BTreeSet::new(),
        };
        for error in &errors {
            let (line, key, kind) = syntax::explain(text, error);
            if reader.bad_lines.insert(line) {
                reader.problems.push(Problem {
                    place: reader.place(line),
                    key,
                    kind,
                });
            }
        }
        reader.refuse_unknown_sections(root.get_ref());
        let fragment = Self::read(root.get_ref(), &mut reader);
        let mut problems = reader.problems;
        problems.sort_by_key(|problem| match problem.place {
            Place::File(_, line) => line,
            Place::Default => None,
        });
        (fragment, problems)
    }
}

struct Reader<'a> {
    file: Option<&'a Arc<Path>>,
    text: &'a Text,
    problems: Vec<Problem>,
    /// Lines that were reported already; what is left of them is guesswork.
    bad_lines: BTreeSet<usize>,
}

impl Reader<'_> {
    fn place(&self, line: usize) -> Place {
        self.file
            .map_or(Place::Default, |file| Place::File(Arc::clone(file), Some(line)))
    }

    fn report(&mut self, offset: usize, key: String, kind: Kind) {
        let line = self.text.line_of(offset);
        if !self.bad_lines.contains(&line) {
            self.problems.push(Problem {
                place: self.place(line),
                key,
                kind,
            });
        }
    }

    fn refuse_unknown_sections(&mut self, root: &DeTable<'_>) {
        let known = || SECTIONS.iter().chain(SECTIONS_OF_OTHERS).copied();
        for (name, value) in root {
            if known().any(|section| section == name.get_ref()) {
                continue;
            }
            let kind = if value.get_ref().is_table() {
                Kind::UnknownSection {
                    nearest: nearest_name(name.get_ref(), known()),
                }
            } else {
                let owner = KEYS
                    .iter()
                    .find(|(_, keys)| keys.contains(&name.get_ref().as_ref()));
                Kind::OutsideSection {
                    section: owner.map_or("stream", |(section, _)| section),
                }
            };
            self.report(name.span().start, printable_name(name.get_ref()), kind);
        }
    }

    fn section<'t>(&mut self, root: &'t DeTable<'_>, section: &'static str) -> Option<&'t DeTable<'t>> {
        let value = root.get(section)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.report(
                value.span().start,
                section.to_owned(),
                Kind::NotASection { section },
            );
        }
        table
    }

    fn refuse_unknown_keys(&mut self, section: &str, table: &DeTable<'_>, known: &[&'static str]) {
        for name in table.keys() {
            if !known.contains(&name.get_ref().as_ref()) {
                let kind = Kind::UnknownKey {
                    nearest: nearest_name(name.get_ref(), known.iter().copied()),
                };
                let key = format!("{section}.{}", printable_name(name.get_ref()));
                self.report(name.span().start, key, kind);
            }
        }
    }

    fn field<T: Value>(&mut self, section: &str, key: &str, table: &DeTable<'_>, example: &str) -> Field<T> {
        let Some(value) = table.get(key) else {
            return Field::Absent;
        };
        let value: &Spanned<DeValue<'_>> = value;
        let line = self.text.line_of(value.span().start);
        if let Some(read) = T::read(value.get_ref()).filter(|_| !self.bad_lines.contains(&line)) {
            return Field::Given(At {
                value: read,
                place: self.place(line),
            });
        }
        let kind = Kind::WrongType {
            expected: T::EXPECTED,
            example: format!("{key} = {example}"),
        };
        self.report(value.span().start, format!("{section}.{key}"), kind);
        Field::Wrong
    }
}
