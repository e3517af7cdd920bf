//! A private dbus-daemon for tests: with the policy and the users that a test wants, and gone with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use zbus::{Connection, connection};

/// Everybody may do everything.
const OPEN: &str = r#"<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy>"#;

/// The rules of Debian's system.conf: nobody may own or call anything unless a policy file allows it.
const DEBIAN: &str = r#"<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/></policy>"#;

/// A running dbus-daemon. It ends when this is dropped.
#[derive(Debug)]
pub struct Bus {
    process: Child,
    address: String,
    folder: TempDir,
}

/// The only users that a bus knows beside root, each with a group of its own name and number.
#[derive(Clone, Copy, Debug)]
pub struct Accounts<'a> {
    /// Name and number of each user.
    pub users: &'a [(&'a str, u32)],
    /// Name, number and members of more groups.
    pub groups: &'a [(&'a str, u32, &'a str)],
}

impl Bus {
    /// A bus on which everybody may do everything.
    pub fn open() -> Self {
        Self::start(OPEN, None)
    }

    /// A bus with the rules of Debian's, this policy file, and `more` elements of its configuration.
    pub fn with_policy(policy: &Path, more: &str) -> Self {
        Self::start(&strict(policy, more), None)
    }

    /// The same, knowing other users than the machine does. Takes root: the daemon gets a mount namespace of its own.
    pub fn with_accounts(policy: &Path, more: &str, accounts: Accounts<'_>) -> Self {
        Self::start(&strict(policy, more), Some(accounts))
    }

    fn start(rules: &str, accounts: Option<Accounts<'_>>) -> Self {
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        let socket = folder.path().join("bus");
        write(
            "bus.conf",
            format!(
                "<busconfig><type>custom</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>{rules}</busconfig>",
                socket.display()
            ),
        );
        let run = "exec dbus-daemon --nofork --nopidfile --config-file=$0/bus.conf --print-address=1";
        let mut command = if let Some(accounts) = accounts {
            write("passwd", accounts.passwd());
            write("group", accounts.group());
            let script =
                format!("mount --bind $0/passwd /etc/passwd && mount --bind $0/group /etc/group && {run}");
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &script]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", run]);
            command
        };
        let mut process = command.arg(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            process,
            address: address.trim().to_owned(),
            folder,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A folder that everybody may read, gone with the bus.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection of the user that the test runs as.
    pub async fn connect(&self) -> Connection {
        let builder = connection::Builder::address(self.address());
        builder.build().await.unwrap()
    }

    /// What a program says that takes this bus for the system's, run as `user` and in `group` beside the user's own.
    pub async fn run_as(&self, user: u32, group: Option<u32>, words: &[&str]) -> Output {
        let groups = group.map_or_else(
            || "--clear-groups".to_owned(),
            |group| format!("--groups={group}"),
        );
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={user}"), format!("--regid={user}"), groups])
            .args(words)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
            .current_dir(self.folder.path());
        tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Accounts<'_> {
    fn passwd(self) -> String {
        let users = self
            .users
            .iter()
            .map(|(name, id)| format!("{name}:x:{id}:{id}::/:/bin/false\n"));
        ["root:x:0:0::/:/bin/sh\n".to_owned()]
            .into_iter()
            .chain(users)
            .collect()
    }

    fn group(self) -> String {
        let own = self.users.iter().map(|(name, id)| format!("{name}:x:{id}:\n"));
        let more = self
            .groups
            .iter()
            .map(|(name, id, members)| format!("{name}:x:{id}:{members}\n"));
        ["root:x:0:\n".to_owned()]
            .into_iter()
            .chain(own)
            .chain(more)
            .collect()
    }
}

fn strict(policy: &Path, more: &str) -> String {
    format!("{DEBIAN}{more}<include>{}</include>", policy.display())
}
