//! Decides what a file means: nothing, a new candidate, or a complaint.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::comments;
use super::document::{Edit, Forget, Settings, edited};
use super::outcome::Complaint;
use super::reserved::is_reserved;
use crate::place::FILES;

/// What is remembered of the file that was applied last, without anything that could be read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    /// The file as it was read, while its secrets are still on the card.
    pub with_secrets: Option<String>,
    /// The file without its secrets.
    pub blanked: Option<String>,
}

/// A file that is to be copied from beside the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its bare name.
    pub name: String,
    /// It does not stay on the card.
    pub is_secret: bool,
    /// The line that names it.
    pub line: usize,
    /// `section.key`.
    pub key: String,
}

/// New settings, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the programs are to read, line by line as on the card.
    pub text: String,
    /// What stays on the card.
    pub blanked: String,
    /// The files that it needs.
    pub copies: Vec<Copy>,
    /// The keys that may log in by SSH.
    pub authorized_keys: Vec<String>,
    /// Whether everything that is stored goes first.
    pub forgets: bool,
    /// What is remembered once it holds.
    pub last: Last,
}

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It sets nothing.
    Empty,
    /// It holds already, and its secrets were taken off.
    Unchanged,
    /// It holds already, and it is not known whether its secrets were taken off.
    Blank {
        /// What stays on the card.
        blanked: String,
        /// The files that do not stay there.
        files: Vec<String>,
    },
    /// It holds nothing but the wish to forget.
    Forget {
        /// What stays on the card.
        blanked: String,
    },
    /// It is new.
    Apply(Box<Candidate>),
    /// It is wrong in a way that only we know of.
    Wrong(Vec<Complaint>),
    /// It is no TOML: the checker says why.
    NoToml,
}

/// Decides, by the file's text, the stored settings, and what was applied last.
pub fn plan(text: &str, stored: &str, last: &Last) -> Plan {
    let Some(settings) = Settings::parse(text) else {
        return Plan::NoToml;
    };
    if settings.is_empty() {
        return Plan::Empty;
    }
    let (forgets, forget_at) = match settings.forget() {
        Forget::Absent => (false, None),
        Forget::Said(said, at) => (said, Some(at)),
        Forget::Unclear(at) => {
            return Plan::Wrong(vec![Complaint {
                line: Some(settings.line_of(at)),
                key: "forget".to_owned(),
                sentence: "write true or false without quotes".to_owned(),
            }]);
        }
    };
    let reserved = reserved(&settings);
    if !reserved.is_empty() {
        return Plan::Wrong(reserved);
    }
    let blanked = blanked(text, &settings, forgets.then_some(forget_at).flatten());
    if forgets && settings.is_empty_but_for_forget() {
        return Plan::Forget { blanked };
    }
    let digest = Some(digest(text));
    let is_known = digest == last.with_secrets || digest == last.blanked;
    if is_known && last.with_secrets.is_some() {
        let files = secret_files(&settings);
        return Plan::Blank { blanked, files };
    }
    if is_known {
        return Plan::Unchanged;
    }
    Plan::Apply(Box::new(candidate(
        text, stored, &settings, blanked, forgets, forget_at,
    )))
}

/// Files of the card's own that the settings would have for theirs: a secret one is taken off the card.
fn reserved(settings: &Settings<'_>) -> Vec<Complaint> {
    let files = settings.files().into_iter();
    files
        .filter_map(|(value, _)| {
            let name = value.bare_name().filter(|name| is_reserved(name))?;
            Some(Complaint {
                line: Some(settings.line_of(value.span.start)),
                key: format!("{}.{}", value.section, value.key),
                sentence: format!(
                    "'{name}' is the name of a file that the card itself needs; give your file another name"
                ),
            })
        })
        .collect()
}

fn candidate(
    text: &str,
    stored: &str,
    settings: &Settings<'_>,
    blanked: String,
    forgets: bool,
    forget_at: Option<usize>,
) -> Candidate {
    let kept = if forgets { None } else { Settings::parse(stored) };
    let kept = kept.map(|stored| stored.secrets()).unwrap_or_default();
    let fills = settings
        .secrets()
        .into_iter()
        .filter(|secret| secret.is_blank())
        .filter_map(|secret| {
            let mut same = kept.iter().filter(|kept| kept.is_same_setting(&secret));
            let kept = same.find(|kept| !kept.is_blank())?;
            Some(Edit::quoted(secret.span, &kept.value))
        });
    let files: Vec<_> = settings
        .files()
        .into_iter()
        .filter_map(|(value, is_secret)| Some((value.bare_name()?.to_owned(), value, is_secret)))
        .collect();
    let paths = files
        .iter()
        .map(|(name, value, _)| Edit::quoted(value.span.clone(), &format!("{FILES}/{name}")));
    let edits = fills.chain(paths).chain(forget_at.map(Edit::comment));
    let text_for_programs = edited(text, edits.collect());
    let copies = files
        .iter()
        .map(|(name, value, is_secret)| Copy {
            name: name.clone(),
            is_secret: *is_secret,
            line: settings.line_of(value.span.start),
            key: format!("{}.{}", value.section, value.key),
        })
        .collect();
    Candidate {
        text: text_for_programs,
        copies,
        authorized_keys: settings.authorized_keys(),
        forgets,
        last: Last {
            with_secrets: Some(digest(text)),
            blanked: Some(digest(&blanked)),
        },
        blanked,
    }
}

fn secret_files(settings: &Settings<'_>) -> Vec<String> {
    let files = settings.files().into_iter();
    files
        .filter(|(_, is_secret)| *is_secret)
        .filter_map(|(value, _)| value.bare_name().map(str::to_owned))
        .collect()
}

/// The file without its secrets, also those in comments, and without a wish that is fulfilled.
fn blanked(text: &str, settings: &Settings<'_>, forget_at: Option<usize>) -> String {
    let secrets = settings.secrets().into_iter();
    let mut spans: Vec<_> = secrets
        .filter(|secret| !secret.is_blank())
        .map(|secret| secret.span)
        .collect();
    let mut commented = comments::secrets(text);
    // A text of many lines may have one that only looks like a comment.
    commented.retain(|comment| !spans.iter().any(|span| span.contains(&comment.start)));
    spans.append(&mut commented);
    let blanks = spans.into_iter().map(|span| Edit::quoted(span, ""));
    edited(text, blanks.chain(forget_at.map(Edit::comment)).collect())
}

/// Tells one text from another, whatever its line ends and the empty lines at its end.
pub fn digest(text: &str) -> String {
    let plain = text.replace("\r\n", "\n");
    let hash = Sha256::digest(plain.trim_end().as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = "[stream]\nkey = \"live_old\"\n[[wifi]]\nssid = \"Lab\"\npassphrase = \"lab-pass\"\n\
                          [[wifi]]\nssid = \"Home\"\npassphrase = \"home-pass\"\n";

    fn apply(text: &str) -> Candidate {
        let plan = plan(text, STORED, &Last::default());
        let Plan::Apply(candidate) = plan else {
            panic!("{plan:?}");
        };
        *candidate
    }

    #[test]
    fn a_blank_secret_keeps_the_stored_one_of_the_same_network() {
        let text = "[stream]\nkey = \"\"\n[[wifi]]\nssid = \"Home\"\npassphrase = \" \"\n[[wifi]]\nssid = \
                    \"New\"\npassphrase = \"\"\n";
        let candidate = apply(text);
        assert_eq!(
            candidate.text,
            text.replacen("\"\"", "\"live_old\"", 1)
                .replace("\" \"", "\"home-pass\"")
        );
        assert_eq!(candidate.text.lines().count(), text.lines().count());
    }

    #[test]
    fn a_new_secret_replaces_the_stored_one_and_leaves_the_card() {
        let text =
            "[stream]\r\nkey = \"live_new\" # mine\r\n[wifi]\r\nssid = \"Lab\"\r\npassphrase = \"x\"\r\n";
        let candidate = apply(text);
        assert_eq!(candidate.text, text);
        assert_eq!(
            candidate.blanked,
            text.replace("live_new", "").replace("\"x\"", "\"\"")
        );
    }

    #[test]
    fn a_secret_that_was_commented_out_leaves_the_card_too() {
        let text = "[stream]\nkey = \"live_new\"\n# key = \"live_old\" # the lab's\n";
        let candidate = apply(text);
        assert_eq!(candidate.text, text);
        assert_eq!(
            candidate.blanked,
            "[stream]\nkey = \"\"\n# key = \"\" # the lab's\n"
        );
        let many = "[stream]\nkey = \"\"\"\n# key = 'x'\"\"\"\n";
        assert_eq!(apply(many).blanked, "[stream]\nkey = \"\"\n");
    }

    #[test]
    fn what_was_applied_is_not_applied_again() {
        let text = "[stream]\nkey = \"live_new\"\n";
        let candidate = apply(text);
        let last = candidate.last.clone();
        assert_eq!(
            plan(text, STORED, &last),
            Plan::Blank {
                blanked: candidate.blanked.clone(),
                files: Vec::new(),
            }
        );
        // It was cut before this was written down.
        assert!(matches!(
            plan(&candidate.blanked, STORED, &last),
            Plan::Blank { .. }
        ));
        let last = Last {
            with_secrets: None,
            ..last
        };
        assert_eq!(plan(&candidate.blanked, STORED, &last), Plan::Unchanged);
        // A PC has written other line ends.
        let windows = candidate.blanked.replace('\n', "\r\n") + "\r\n";
        assert_eq!(plan(&windows, STORED, &last), Plan::Unchanged);
        // Once it is off the card, the same secret is news.
        assert!(matches!(plan(text, STORED, &last), Plan::Apply(_)));
    }

    #[test]
    fn the_template_means_nothing() {
        assert_eq!(
            plan("# only words\n[stream]\n#key = \"\"\n", STORED, &Last::default()),
            Plan::Empty
        );
    }

    #[test]
    fn to_forget_takes_no_stored_secret_along_and_is_not_said_twice() {
        let candidate = apply("forget = true\n[stream]\nkey = \"\"\n");
        assert!(candidate.forgets);
        assert_eq!(candidate.text, "#forget = true\n[stream]\nkey = \"\"\n");
        assert_eq!(candidate.blanked, candidate.text);
        assert_eq!(
            plan("# bye\nforget = true\n", STORED, &Last::default()),
            Plan::Forget {
                blanked: "# bye\n#forget = true\n".to_owned()
            }
        );
        let kept = apply("forget = false\n[stream]\nkey = \"\"\n");
        assert_eq!(kept.text, "#forget = false\n[stream]\nkey = \"live_old\"\n");
        assert_eq!(kept.blanked, "forget = false\n[stream]\nkey = \"\"\n");
        let Plan::Wrong(complaints) = plan("\nforget = \"yes\"\n", STORED, &Last::default()) else {
            panic!("a text was taken for true");
        };
        assert_eq!(complaints[0].line, Some(2));
    }

    #[test]
    fn a_file_beside_the_settings_gets_a_path() {
        let candidate =
            apply("[wifi]\nssid = \"e\"\nca = \"ca.pem\"\nkey = \"me.key\"\n[robot]\nca = \"/etc/r.pem\"\n");
        assert!(
            candidate
                .text
                .contains("ca = \"/etc/spotstream/files/ca.pem\"\nkey = \"/etc/spotstream/files/me.key\"")
        );
        assert!(candidate.text.contains("ca = \"/etc/r.pem\""));
        assert!(candidate.blanked.contains("key = \"me.key\""));
        let copies: Vec<_> = candidate
            .copies
            .iter()
            .map(|copy| (copy.name.as_str(), copy.is_secret, copy.line))
            .collect();
        assert_eq!(copies, [("ca.pem", false, 3), ("me.key", true, 4)]);
    }

    #[test]
    fn a_file_of_the_card_s_own_is_neither_taken_over_nor_taken_off() {
        let text = "[stream]\nkey = \"k\"\n[robot]\ncredentials_file = \"Config.txt\"\n";
        // Also where it holds already, and only the secrets are still to be taken off.
        for digest in [None, Some(digest(text))] {
            let last = Last {
                with_secrets: digest,
                blanked: None,
            };
            let Plan::Wrong(complaints) = plan(text, STORED, &last) else {
                panic!("a file of the card was taken");
            };
            assert_eq!(
                complaints[0].to_string(),
                "line 4: robot.credentials_file: 'Config.txt' is the name of a file that the card itself needs; give \
                 your file another name"
            );
        }
    }

    #[test]
    fn what_is_no_toml_is_left_to_the_checker() {
        assert_eq!(plan("[stream\n", STORED, &Last::default()), Plan::NoToml);
    }
}
