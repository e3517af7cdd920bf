//! Imports on files in memory, whole and cut at every step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::tool;

const CARD_FILE: &str = "/run/spotstream/card/spotstream.toml";

/// Files in memory, with what a power cut leaves of them.
#[derive(Clone, Default)]
struct Memory {
    now: BTreeMap<PathBuf, Vec<u8>>,
    /// What is there after a cut when the kernel has written no more than it was asked to.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// Files whose bytes were synced.
    synced: BTreeSet<PathBuf>,
    /// How many steps there are until the power is cut.
    steps_left: Option<usize>,
    steps: usize,
}

impl Memory {
    fn with(files: &[(&str, &str)]) -> Self {
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
            .collect();
        Self {
            durable: files.clone(),
            synced: files.keys().cloned().collect(),
            now: files,
            ..Self::default()
        }
    }

    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the power was cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The machine after the cut: with all that was written, or with no more than what was synced.
    fn restarted(&self, is_lazy: bool) -> Self {
        let files = if is_lazy { &self.durable } else { &self.now };
        Self {
            now: files.clone(),
            durable: files.clone(),
            synced: files.keys().cloned().collect(),
            ..Self::default()
        }
    }

    fn text(&self, path: &str) -> String {
        let bytes = self.now.get(Path::new(path));
        bytes.map_or_else(String::new, |bytes| String::from_utf8(bytes.clone()).unwrap())
    }
}

impl Storage for Memory {
    fn read(&self, file: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.now.get(file).cloned())
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        let below = self.now.keys().filter_map(|file| file.strip_prefix(folder).ok());
        let first = |path: &Path| path.iter().next().unwrap().to_str().unwrap().to_owned();
        below.map(first).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn write(&mut self, file: &Path, bytes: &[u8], _: Access) -> io::Result<()> {
        self.step()?;
        self.now.insert(file.to_owned(), bytes.to_vec());
        self.synced.remove(file);
        Ok(())
    }

    fn sync_file(&mut self, file: &Path) -> io::Result<()> {
        self.step()?;
        self.synced.insert(file.to_owned());
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let bytes = self
            .now
            .remove(from)
            .ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        // The name is written at once, the bytes are not: that is how files become empty.
        if !self.synced.remove(from) {
            self.durable.insert(to.to_owned(), Vec::new());
        } else {
            self.synced.insert(to.to_owned());
        }
        self.now.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&mut self, file: &Path) -> io::Result<()> {
        self.step()?;
        if self
            .now
            .keys()
            .any(|other| other != file && other.starts_with(file))
        {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.now.remove(file);
        // It may be gone before anything else that was done.
        self.durable.remove(file);
        Ok(())
    }

    fn remove_all(&mut self, path: &Path) -> io::Result<()> {
        let files = self.now.keys().filter(|file| file.starts_with(path));
        for file in files.cloned().collect::<Vec<_>>() {
            self.remove(&file)?;
        }
        Ok(())
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.step()?;
        let is_here = |file: &Path| file.parent() == Some(folder);
        self.durable.retain(|file, _| !is_here(file));
        for (file, bytes) in self.now.iter().filter(|(file, _)| is_here(file)) {
            let bytes = if self.synced.contains(file) {
                bytes.clone()
            } else {
                Vec::new()
            };
            self.durable.insert(file.clone(), bytes);
        }
        Ok(())
    }

    fn sync_all(&mut self, folder: &Path) -> io::Result<()> {
        self.step()?;
        let is_card = folder.starts_with(CARD);
        let is_here = |file: &Path| file.starts_with(CARD) == is_card;
        self.durable.retain(|file, _| !is_here(file));
        for (file, bytes) in self.now.iter().filter(|(file, _)| is_here(file)) {
            self.durable.insert(file.clone(), bytes.clone());
            self.synced.insert(file.clone());
        }
        Ok(())
    }
}

/// Content with everything that has a key; remembers what it was asked.
#[derive(Default)]
struct Content {
    asked: RefCell<Vec<String>>,
}

impl Checker for Content {
    fn check(&self, candidate: &str) -> Result<Result<Vec<Complaint>, Vec<Complaint>>, tool::Error> {
        self.asked.borrow_mut().push(candidate.to_owned());
        let complaint = |line, sentence: &str| Complaint {
            line,
            key: "stream.key".to_owned(),
            sentence: sentence.to_owned(),
        };
        Ok(match candidate.parse::<toml_edit::DocumentMut>() {
            Err(_) => Err(vec![complaint(Some(1), "the line cannot be understood")]),
            Ok(document) => match document.get("stream").and_then(|stream| stream.get("key")) {
                None => Err(vec![complaint(None, "it is missing")]),
                Some(key) if key.as_str() == Some("") => Err(vec![complaint(Some(2), "the value is empty")]),
                Some(_) => Ok(vec![complaint(Some(3), "it could be better")]),
            },
        })
    }
}

const STORED: &str = "[stream]\nkey = \"live_old\"\n[wifi]\nssid = \"Lab\"\npassphrase = \"lab-pass\"\n";
const NEW: &str = "# mine\r\n[stream]\r\nkey = \"live_new\"\r\n[wifi]\r\nssid = \"Lab\"\r\npassphrase = \"\"\r\n\
                   key = \"wifi.key\"\r\n[status]\r\npassword = \"page-pass\"\r\n[ssh]\r\nauthorized_keys = [\"ssh-ed25519 A\"]\r\n";

fn import(memory: &mut Memory) -> Outcome {
    apply(memory, &Content::default(), Source::Card)
}

fn machine(card: &str) -> Memory {
    Memory::with(&[
        (CARD_FILE, card),
        ("/run/spotstream/card/wifi.key", "PRIVATE KEY"),
        (SETTINGS, STORED),
        ("/etc/spotstream/spotstream.d/10-page.toml", "[camera]\n"),
        (TEMPLATE, "# template\n"),
    ])
}

#[test]
fn new_settings_hold_and_no_secret_stays_on_the_card() {
    let mut machine = machine(NEW);
    let outcome = import(&mut machine);
    assert_eq!(outcome.what, What::Applied, "{outcome:?}");
    assert_eq!(
        outcome.notes[0], "line 3: stream.key: it could be better",
        "warnings are told"
    );
    assert!(outcome.notes[1].contains("taken off the card"));
    let stored = machine.text(SETTINGS);
    assert_eq!(
        stored,
        NEW.replace("passphrase = \"\"", "passphrase = \"lab-pass\"")
            .replace("\"wifi.key\"", "\"/etc/spotstream/files/wifi.key\"")
    );
    assert_eq!(machine.text("/etc/spotstream/files/wifi.key"), "PRIVATE KEY");
    assert_eq!(machine.text(AUTHORIZED_KEYS), "ssh-ed25519 A\n");
    assert_eq!(
        machine.text(CARD_FILE),
        NEW.replace("live_new", "").replace("page-pass", "")
    );
    assert!(
        !machine
            .now
            .contains_key(Path::new("/run/spotstream/card/wifi.key"))
    );
    assert_eq!(import(&mut machine).what, What::Unchanged);
    assert_eq!(machine.text(SETTINGS), stored);
}

/// What must hold after a cut at any step, and after the start that follows it.
fn cut_everywhere(before: &Memory, secrets: &[&str], holders: &[&str]) {
    let mut whole = before.clone();
    import(&mut whole);
    let steps = whole.steps;
    assert!(steps > 10, "there are steps to cut");
    for cut in 0..steps {
        for is_lazy in [false, true] {
            let mut machine = before.clone();
            machine.steps_left = Some(cut);
            import(&mut machine);
            let mut machine = machine.restarted(is_lazy);
            let at = format!("cut before step {cut} of {steps}, lazy {is_lazy}");
            let all: String = holders.iter().map(|file| machine.text(file)).collect();
            for secret in secrets {
                assert!(all.contains(secret), "{at}: {secret} is lost");
            }
            let stored = machine.text(SETTINGS);
            assert!(
                stored == before.text(SETTINGS) || stored == whole.text(SETTINGS),
                "{at}: the settings are neither old nor new: {stored:?}"
            );
            let outcome = import(&mut machine);
            assert!(
                matches!(outcome.what, What::Applied | What::Unchanged),
                "{at}: {outcome:?}"
            );
            let files = |machine: &Memory| -> BTreeMap<PathBuf, Vec<u8>> {
                let is_finished = |file: &PathBuf| !file.to_string_lossy().contains("/.");
                let files = machine.now.clone().into_iter();
                files.filter(|(file, _)| is_finished(file)).collect()
            };
            assert_eq!(
                files(&machine),
                files(&whole),
                "{at}: the next import ends elsewhere"
            );
        }
    }
}

#[test]
fn a_cut_at_any_step_loses_no_secret_and_the_next_import_leaves_none() {
    let holders = [
        CARD_FILE,
        "/run/spotstream/card/wifi.key",
        SETTINGS,
        "/etc/spotstream/files/wifi.key",
    ];
    cut_everywhere(
        &machine(NEW),
        &["live_new", "page-pass", "lab-pass", "PRIVATE KEY"],
        &holders,
    );
}

#[test]
fn a_cut_while_forgetting_ends_in_the_same_settings() {
    let card = "forget = true\n[stream]\nkey = \"live_new\"\n";
    cut_everywhere(&machine(card), &["live_new"], &[CARD_FILE, SETTINGS]);
    let mut machine = machine(card);
    import(&mut machine);
    assert_eq!(machine.text(CARD_FILE), "#forget = true\n[stream]\nkey = \"\"\n");
    assert!(machine.names(Path::new(DROP_INS)).is_empty());
}

#[test]
fn a_wrong_file_changes_nothing() {
    for (card, line) in [
        ("[stream]\nkee = \"live_new\"\n", None),
        ("[stream\nkey = \"live_new\"\n", Some(1)),
        (
            "[stream]\nkey = \"k\"\n[wifi]\nssid = \"e\"\nca = \"ca.pem\"\n",
            Some(5),
        ),
        ("forget = 1\n[stream]\nkey = \"k\"\n", Some(1)),
        ("forget = true\n[stream]\nkey = \"\"\n", Some(2)),
    ] {
        let mut machine = machine(card);
        let before = machine.now.clone();
        let outcome = import(&mut machine);
        assert_eq!((outcome.what, machine.steps), (What::Wrong, 0), "{card}");
        assert_eq!(outcome.complaints[0].line, line, "{card}");
        assert_eq!(machine.now, before);
    }
}

#[test]
fn the_template_and_an_empty_card_change_nothing() {
    let mut template = machine("# template\n[stream]\n#key = \"\"\n");
    assert_eq!((import(&mut template).what, template.steps), (What::Empty, 0));
    let mut machine = machine("");
    machine.now.remove(Path::new(CARD_FILE));
    assert_eq!((import(&mut machine).what, machine.steps), (What::Absent, 0));
}

#[test]
fn the_file_that_windows_made_is_taken_beside_the_untouched_template() {
    let mut machine = machine("# template\n");
    let other = "/run/spotstream/card/spotstream.toml.txt";
    machine.now.insert(
        PathBuf::from(other),
        b"\xEF\xBB\xBF[stream]\r\nkey = \"live_new\"\r\n".to_vec(),
    );
    let outcome = import(&mut machine);
    assert_eq!(
        (outcome.what, outcome.file.as_str()),
        (What::Applied, "spotstream.toml.txt")
    );
    assert_eq!(machine.text(other), "[stream]\r\nkey = \"\"\r\n");
    assert_eq!(machine.text(CARD_FILE), "# template\n");
}

#[test]
fn to_forget_alone_leaves_the_template() {
    let mut machine = machine("forget = true\n");
    assert_eq!(import(&mut machine).what, What::Forgotten);
    assert_eq!(machine.text(SETTINGS), "# template\n");
    assert_eq!(machine.text(CARD_FILE), "#forget = true\n");
    assert!(machine.names(Path::new(DROP_INS)).is_empty());
    assert_eq!(import(&mut machine).what, What::Empty);
}

#[test]
fn folders_that_somebody_made_are_forgotten_too() {
    for (card, what) in [
        ("forget = true\n", What::Forgotten),
        ("forget = true\n[stream]\nkey = \"k\"\n", What::Applied),
    ] {
        let mut machine = machine(card);
        for file in [
            "/etc/spotstream/files/old/ca.pem",
            "/etc/spotstream/spotstream.d/old/10.toml",
        ] {
            machine.now.insert(PathBuf::from(file), b"old".to_vec());
        }
        let outcome = import(&mut machine);
        assert_eq!(outcome.what, what, "{outcome:?}");
        for folder in [DROP_INS, FILES] {
            assert!(machine.names(Path::new(folder)).is_empty(), "{folder}");
        }
    }
}

#[test]
fn a_stick_that_cannot_be_written_to_is_applied_once_and_said() {
    struct ReadOnly(Memory);
    impl Storage for ReadOnly {
        fn read(&self, file: &Path) -> io::Result<Option<Vec<u8>>> {
            self.0.read(file)
        }
        fn names(&self, folder: &Path) -> Vec<String> {
            self.0.names(folder)
        }
        fn write(&mut self, file: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
            if file.starts_with(CARD) {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            self.0.write(file, bytes, access)
        }
        fn sync_file(&mut self, file: &Path) -> io::Result<()> {
            self.0.sync_file(file)
        }
        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&mut self, file: &Path) -> io::Result<()> {
            self.0.remove(file)
        }
        fn remove_all(&mut self, path: &Path) -> io::Result<()> {
            self.0.remove_all(path)
        }
        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.0.sync_folder(folder)
        }
        fn sync_all(&mut self, folder: &Path) -> io::Result<()> {
            self.0.sync_all(folder)
        }
    }
    let mut stick = ReadOnly(machine("[stream]\nkey = \"live_new\"\n"));
    let mut import = || apply(&mut stick, &Content::default(), Source::Stick);
    let first = import();
    assert_eq!(first.what, What::Applied);
    assert!(
        first
            .notes
            .iter()
            .any(|note| note.contains("delete them there yourself"))
    );
    assert_eq!(import().what, What::Unchanged);
}

#[test]
fn a_certificate_that_was_replaced_is_taken_although_the_settings_are_the_same() {
    let mut machine = machine("[stream]\nkey = \"k\"\n[robot]\nca = \"ca.pem\"\n");
    let there = PathBuf::from("/run/spotstream/card/ca.pem");
    for (certificate, what) in [
        ("one", What::Applied),
        ("one", What::Unchanged),
        ("two", What::Applied),
    ] {
        machine.now.insert(there.clone(), certificate.as_bytes().to_vec());
        assert_eq!(import(&mut machine).what, what);
        assert_eq!(machine.text("/etc/spotstream/files/ca.pem"), certificate);
        assert!(machine.text(SETTINGS).contains("key = \"k\""));
    }
}

#[test]
fn a_file_that_is_named_like_an_unfinished_one_is_kept_whole() {
    let mut machine = machine("[robot]\ncredentials_file = \"robot.new\"\n[stream]\nkey = \"k\"\n");
    let there = PathBuf::from("/run/spotstream/card/robot.new");
    machine.now.insert(there.clone(), b"guid and secret".to_vec());
    assert_eq!(import(&mut machine).what, What::Applied);
    assert_eq!(machine.text("/etc/spotstream/files/robot.new"), "guid and secret");
    assert!(!machine.now.contains_key(&there));
}

#[test]
fn a_new_key_beside_settings_whose_secrets_are_still_on_the_card_is_taken_before_it_leaves_it() {
    let text = "[[wifi]]\nssid = \"a\"\nkey = \"me.key\"\nkey_password = \"p\"\n[stream]\nkey = \"k\"\n";
    let mut machine = machine(text);
    let there = PathBuf::from("/run/spotstream/card/me.key");
    machine.now.insert(there.clone(), b"one".to_vec());
    assert_eq!(import(&mut machine).what, What::Applied);
    // As after a cut before the secrets left the card: the same settings again, and another key.
    machine.now.insert(
        PathBuf::from("/run/spotstream/card/spotstream.toml"),
        text.as_bytes().to_vec(),
    );
    machine.now.insert(there, b"two".to_vec());
    import(&mut machine);
    assert_eq!(machine.text("/etc/spotstream/files/me.key"), "two");
}
