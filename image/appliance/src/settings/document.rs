//! What matters to the import in a settings file, with its place in the text.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike};

/// Values that nobody but the programs may read.
const SECRETS: [(&str, &str); 6] = [
    ("stream", "key"),
    ("wifi", "passphrase"),
    ("wifi", "password"),
    ("wifi", "key_password"),
    ("robot", "password"),
    ("status", "password"),
];

/// Values that name a file, and whether that file is a secret.
const FILES: [(&str, &str, bool); 6] = [
    ("stream", "extra_ca", false),
    ("wifi", "ca", false),
    ("wifi", "certificate", false),
    ("wifi", "key", true),
    ("robot", "ca", false),
    ("robot", "credentials_file", true),
];

/// A text value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The name of its section.
    pub section: String,
    /// The WiFi network that it belongs to.
    pub ssid: Option<String>,
    /// Its key.
    pub key: String,
    /// What is written between the quotes.
    pub value: String,
    /// Where it stands, with its quotes.
    pub span: Range<usize>,
}

impl Value {
    /// Whether there is nothing between the quotes.
    pub fn is_blank(&self) -> bool {
        self.value.trim().is_empty()
    }

    /// Whether it is the same setting, in another file.
    pub fn is_same_setting(&self, other: &Self) -> bool {
        (&self.section, &self.ssid, &self.key) == (&other.section, &other.ssid, &other.key)
    }

    /// The bare name of a file beside the settings; nothing when it is a path.
    pub fn bare_name(&self) -> Option<&str> {
        let name = self.value.as_str();
        let is_bare = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        is_bare.then_some(name)
    }
}

/// What `forget` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forget {
    /// It is not there.
    Absent,
    /// `true` or `false`, and where the line begins.
    Said(bool, usize),
    /// Something else, and where the line begins.
    Unclear(usize),
}

/// One file.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    text: &'a str,
    document: Document<&'a str>,
}

impl<'a> Settings<'a> {
    /// Reads TOML; nothing when it is none, of which the checker says why.
    pub fn parse(text: &'a str) -> Option<Self> {
        let document = Document::parse(text).ok()?;
        Some(Self { text, document })
    }

    /// Whether nothing is set: the template as it came with the image.
    pub fn is_empty(&self) -> bool {
        let is_empty = |(_, item): (&str, &Item)| {
            item.as_table_like()
                .is_some_and(|section| section.iter().next().is_none())
        };
        self.document.as_table().iter().all(is_empty)
    }

    /// Whether nothing but `forget` is set.
    pub fn is_empty_but_for_forget(&self) -> bool {
        let mut others = self
            .document
            .as_table()
            .iter()
            .filter(|(name, _)| *name != "forget");
        others.all(|(_, item)| {
            item.as_table_like()
                .is_some_and(|section| section.iter().next().is_none())
        })
    }

    /// All secrets, blank or not.
    pub fn secrets(&self) -> Vec<Value> {
        SECRETS
            .into_iter()
            .flat_map(|(section, key)| self.values(section, key))
            .collect()
    }

    /// All values that name files, and whether the file is a secret.
    pub fn files(&self) -> Vec<(Value, bool)> {
        FILES
            .into_iter()
            .flat_map(|(section, key, is_secret)| {
                let values = self.values(section, key).into_iter();
                values.map(move |value| (value, is_secret))
            })
            .collect()
    }

    /// Whether everything that is stored is to be removed first.
    pub fn forget(&self) -> Forget {
        let Some((key, item)) = self.document.as_table().get_key_value("forget") else {
            return Forget::Absent;
        };
        let start = key.span().map_or(0, |span| span.start);
        item.as_bool()
            .map_or(Forget::Unclear(start), |said| Forget::Said(said, start))
    }

    /// The keys that may log in by SSH.
    pub fn authorized_keys(&self) -> Vec<String> {
        let keys = self
            .document
            .as_table()
            .get("ssh")
            .and_then(Item::as_table_like)
            .and_then(|section| section.get("authorized_keys"))
            .and_then(Item::as_array);
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| Some(key.as_str()?.trim().to_owned()))
            .filter(|key| !key.is_empty())
            .collect()
    }

    /// The line of a byte, counted from 1.
    pub fn line_of(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
    }

    fn values(&self, section: &str, key: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let Some(item) = self.document.as_table().get(section) else {
            return found;
        };
        for table in tables(item) {
            let ssid = table.get("ssid").and_then(Item::as_str);
            let value = table.get(key);
            if let Some((value, span)) = value.and_then(|item| Some((item.as_str()?, item.span()?))) {
                found.push(Value {
                    section: section.to_owned(),
                    ssid: ssid.filter(|_| section == "wifi").map(str::to_owned),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    span,
                });
            }
        }
        found
    }
}

/// `[wifi]`, `[[wifi]]` and `wifi = [{...}]`.
fn tables(item: &Item) -> Vec<&dyn TableLike> {
    if let Some(table) = item.as_table_like() {
        return vec![table];
    }
    if let Some(tables) = item.as_array_of_tables() {
        return tables.iter().map(|table| table as &dyn TableLike).collect();
    }
    let array = item.as_array().into_iter().flatten();
    array
        .filter_map(|value| Some(value.as_inline_table()? as &dyn TableLike))
        .collect()
}

/// Another text in place of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The part.
    pub span: Range<usize>,
    /// What stands there then.
    pub with: String,
}

impl Edit {
    /// A text in quotes.
    pub fn quoted(span: Range<usize>, text: &str) -> Self {
        let with = toml_edit::Value::from(text).to_string();
        Self {
            span,
            with: with.trim().to_owned(),
        }
    }

    /// A line becomes a comment.
    pub fn comment(at: usize) -> Self {
        Self {
            span: at..at,
            with: "#".to_owned(),
        }
    }
}

/// All edits at once; everything beside them stays byte for byte.
pub fn edited(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for Edit { span, with } in edits {
        out.push_str(text.get(at..span.start).unwrap_or_default());
        out.push_str(&with);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "forget = true\r\n[stream]\r\nkey = \"live_1\" # mine\r\n[[wifi]]\r\nssid = \"Lab\"\r\n\
                       passphrase = 'a b'\r\n[[wifi]]\r\nssid = \"eduroam\"\r\npassword = \"\"\r\nca = \"ca.pem\"\r\n\
                       key = \"/etc/x.key\"\r\n[ssh]\r\nauthorized_keys = [\"ssh-ed25519 A me\", \" \"]\r\n";

    #[test]
    fn secrets_are_found_in_every_network() {
        let secrets = Settings::parse(ALL).unwrap().secrets();
        let found: Vec<_> = secrets
            .iter()
            .map(|secret| (secret.key.as_str(), secret.ssid.as_deref(), secret.value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("key", None, "live_1"),
                ("passphrase", Some("Lab"), "a b"),
                ("password", Some("eduroam"), "")
            ]
        );
        assert_eq!(&ALL[secrets[1].span.clone()], "'a b'");
    }

    #[test]
    fn other_ways_to_write_a_section_are_understood() {
        for text in [
            "wifi = [{ssid = \"Lab\", passphrase = \"p\"}]",
            "wifi = {ssid = \"Lab\", passphrase = \"p\"}",
            "wifi.ssid = \"Lab\"\nwifi.passphrase = \"p\"",
            "[wifi]\n\"ssid\" = \"Lab\"\n\"passphrase\" = \"\"\"p\"\"\"",
        ] {
            let secrets = Settings::parse(text).unwrap().secrets();
            assert_eq!(secrets.len(), 1, "{text}");
            assert_eq!(
                (secrets[0].ssid.as_deref(), secrets[0].value.as_str()),
                (Some("Lab"), "p")
            );
        }
    }

    #[test]
    fn files_beside_the_settings_are_told_from_paths() {
        let settings = Settings::parse(ALL).unwrap();
        let names: Vec<_> = settings
            .files()
            .iter()
            .map(|(value, is_secret)| (value.bare_name().map(str::to_owned), *is_secret))
            .collect();
        assert_eq!(names, [(Some("ca.pem".to_owned()), false), (None, true)]);
        assert_eq!(settings.authorized_keys(), ["ssh-ed25519 A me"]);
        assert_eq!(settings.forget(), Forget::Said(true, 0));
    }

    #[test]
    fn what_is_not_edited_stays_byte_for_byte() {
        let secrets = Settings::parse(ALL).unwrap().secrets();
        let edits = secrets.iter().map(|secret| Edit::quoted(secret.span.clone(), ""));
        let out = edited(ALL, edits.chain([Edit::comment(0)]).collect());
        assert_eq!(
            out,
            format!("#{}", ALL.replace("\"live_1\"", "\"\"").replace("'a b'", "\"\""))
        );
    }

    #[test]
    fn a_text_with_quotes_and_backslashes_is_quoted_right() {
        for text in ["a\"b", "a\\b", "a'b\"c", "ä€"] {
            let toml = edited("x = \"\"", vec![Edit::quoted(4..6, text)]);
            let document: toml_edit::DocumentMut = toml.parse().unwrap();
            assert_eq!(document["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn the_shipped_template_sets_nothing() {
        let template = include_str!("../../../../daemon/dist/usr/share/spotstream/spotstream.toml");
        assert!(Settings::parse(template).unwrap().is_empty());
        assert!(!Settings::parse("forget = true").unwrap().is_empty());
        assert!(
            Settings::parse("forget = true\n[stream]\n")
                .unwrap()
                .is_empty_but_for_forget()
        );
        assert!(!Settings::parse(ALL).unwrap().is_empty_but_for_forget());
    }
}
