//! The patterns of `image/prune`.

/// How a pattern is about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It names this path.
    Itself,
    /// It names a folder that this path is in.
    Inside,
}

/// Whether `pattern` is about `path`: name by name, where `*` stands for any letters and `?` for one.
#[must_use]
pub fn fit(pattern: &str, path: &str) -> Option<Fit> {
    let mut names = path.split('/');
    for wanted in pattern.split('/') {
        if !matches(wanted.as_bytes(), names.next()?.as_bytes()) {
            return None;
        }
    }
    Some(if names.next().is_none() {
        Fit::Itself
    } else {
        Fit::Inside
    })
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => {
            (0..=name.len()).any(|from| name.get(from..).is_some_and(|name| matches(rest, name)))
        }
        [letter, rest @ ..] => match name {
            [first, name @ ..] => (first == letter || *letter == b'?') && matches(rest, name),
            [] => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_name() {
        assert_eq!(fit("usr/share/doc/*", "usr/share/doc/bash"), Some(Fit::Itself));
        assert_eq!(fit("usr/*/bash", "usr/share/doc/bash"), None);
        assert_eq!(fit("a?c*.ko", "abcd.ko"), Some(Fit::Itself));
        assert_eq!(fit("a?c", "ac"), None);
    }

    #[test]
    fn what_is_in_a_folder_is_told_apart_from_the_folder() {
        assert_eq!(
            fit("usr/share/doc", "usr/share/doc/bash/copyright"),
            Some(Fit::Inside)
        );
        assert_eq!(fit("usr/share/doc", "usr/share/docs"), None);
        assert_eq!(fit("usr/share/doc", "usr/share"), None);
    }
}
