//! Secrets in lines that a person has commented out.

use std::ops::Range;

/// The settings as the image comes with them: the examples in there are nobody's secret.
const TEMPLATE: &str = include_str!("../../../../daemon/dist/usr/share/spotstream/spotstream.toml");

/// Where the values of secret keys stand in comments, with their quotes; blank ones are left out.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut is_wifi = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let said = line.trim_start_matches(['#', ' ', '\t']);
        if let Some(header) = said.strip_prefix('[') {
            is_wifi = header.trim_start_matches(['[', ' ']).starts_with("wifi");
        }
        if line.trim_start().starts_with('#') && !is_of_the_template(line) {
            let values = values(line, is_wifi).into_iter();
            found.extend(values.map(|value| at + value.start..at + value.end));
        }
        at += line.len();
    }
    found
}

fn is_of_the_template(line: &str) -> bool {
    TEMPLATE.lines().any(|known| known.trim() == line.trim())
}

/// The values in a line. Below `[wifi]`, `key` is the name of a file.
fn values(line: &str, is_wifi: bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (equals, _) in line.match_indices('=') {
        let before = line
            .get(..equals)
            .unwrap_or_default()
            .trim_end_matches([' ', '\t', '"']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = before.rsplit(|c: char| !is_name(c)).next().unwrap_or_default();
        let is_secret = match name {
            "passphrase" | "password" | "key_password" => true,
            "key" => !is_wifi && !before.ends_with("wifi.key"),
            _ => false,
        };
        let is_inside = |value: &Range<usize>| value.contains(&equals);
        if is_secret && !found.iter().any(is_inside) {
            found.extend(value(line, equals + 1));
        }
    }
    found
}

/// The value that begins behind an equals sign, if it is not blank.
fn value(line: &str, from: usize) -> Option<Range<usize>> {
    let rest = line.get(from..)?;
    let start = from + rest.len() - rest.trim_start().len();
    let rest = line.get(start..)?.trim_end();
    let quote = rest.chars().next().filter(|first| ['"', '\''].contains(first));
    let length = match quote {
        Some(quote) => {
            let mut is_escaped = false;
            let mut inside = rest.char_indices().skip(1);
            let end = inside.find(|(_, c)| {
                let is_end = *c == quote && !is_escaped;
                is_escaped = *c == '\\' && quote == '"' && !is_escaped;
                is_end
            });
            // Without an end it goes on to the end of the line.
            end.map_or(rest.len(), |(end, _)| end + quote.len_utf8())
        }
        None => rest.find([' ', '\t', '#', ',', '}']).unwrap_or(rest.len()),
    };
    let is_blank = rest.get(..length)?.trim_matches(['"', '\'', ' ']).is_empty();
    (!is_blank).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        secrets(text).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn values_of_secret_keys_are_found_in_comments_and_nothing_else_is() {
        for (text, secrets) in [
            ("# key = \"live_123\"\r\n", &["\"live_123\""][..]),
            ("[stream]\nkey = \"\"\n\t##key='live_1' # mine\n", &["'live_1'"]),
            ("# stream.key = live_1 # without quotes\n", &["live_1"]),
            ("# passphrase = \"a \\\" b\" # x\n", &["\"a \\\" b\""]),
            ("# password = \"never ends\n", &["\"never ends"]),
            (
                "#[[wifi]]\n#ssid = \"Lab\"\n#key_password = \"p\"\n#key = \"me.key\"\n",
                &["\"p\""],
            ),
            (
                "# wifi = [{ssid = \"Lab\", passphrase = \"p=1, key = 2\"}]\n",
                &["\"p=1, key = 2\""],
            ),
            (
                "# \"key\" = \"live_1\" and password=\"p\"\n",
                &["\"live_1\"", "\"p\""],
            ),
            ("# key = \"\"\n# password = ''\n# passphrase =\n", &[]),
            (
                "# the key of the lab\n# monkey = \"b\"\nkey = \"live_1\" # set\n",
                &[],
            ),
        ] {
            assert_eq!(found(text), secrets, "{text}");
        }
    }

    #[test]
    fn the_examples_of_the_template_stay() {
        assert!(found(TEMPLATE).is_empty());
        assert!(found(&TEMPLATE.replace('\n', "\r\n")).is_empty());
        assert!(TEMPLATE.contains("key = \""), "there are examples");
    }
}
