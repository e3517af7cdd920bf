//! What the tests against a real kernel share: network namespaces, programs in them, captures.
#![expect(dead_code, reason = "every test uses another part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that is surprised has failed"
)]

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

/// How long anything may take before the test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Tells a test that it runs as an ordinary user, and with which capabilities.
const CAPABILITIES: &str = "SPOTSTREAM_TEST_CAPABILITIES";

/// Runs `test` in a network namespace of its own. Programs that it starts are in there too.
pub(crate) fn in_namespace<F: Future<Output = ()> + Send + 'static>(test: F) {
    assert!(
        geteuid().is_root(),
        "this test makes network namespaces, so it must run as root"
    );
    let done = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("this test makes network namespaces, so it needs CAP_SYS_ADMIN");
        run("ip link set lo up");
        on_a_runtime(test);
    });
    if let Err(panic) = done.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `test` on this thread alone, so that it stays in its namespace.
pub(crate) fn on_a_runtime<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// Runs the test `name` of this program again, as an ordinary user with these capabilities ("net_raw"; "" for none).
pub(crate) fn as_nobody(name: &str, capabilities: &str) {
    let set = |none: &str| {
        if capabilities.is_empty() {
            none.to_owned()
        } else {
            format!("{none},+{capabilities}")
        }
    };
    let status = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ])
        .args([
            format!("--inh-caps={}", set("-all")),
            format!("--ambient-caps={}", set("-all")),
        ])
        .arg(format!("--bounding-set={}", set("-all")))
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CAPABILITIES, capabilities)
        .status()
        .unwrap();
    assert!(status.success(), "as an ordinary user with '{capabilities}'");
}

/// The capabilities that [`as_nobody`] gave us; none when it is not what runs us.
pub(crate) fn capabilities_as_nobody() -> Option<String> {
    let capabilities = env::var(CAPABILITIES).ok()?;
    assert!(!geteuid().is_root());
    Some(capabilities)
}

/// Runs a program with blanks between its arguments.
pub(crate) fn run(line: &str) {
    let mut words = line.split(' ');
    done(Command::new(words.next().unwrap()).args(words));
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How many packets an interface of ours has sent since it was made.
pub(crate) fn sent(interface: &str) -> u64 {
    let told = done(Command::new("ip").args(["-s", "-j", "link", "show", interface]));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told.pointer("/0/stats64/tx/packets").unwrap().as_u64().unwrap()
}

/// Waits until the kernel says that a cable is plugged in, and no longer than that.
pub(crate) fn wait_for_carrier(interface: &str) {
    wait_until(&format!("{interface} has a carrier"), || {
        done(Command::new("ip").args(["link", "show", interface])).contains("LOWER_UP")
    });
}

/// Looks again and again, where nothing tells.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not in {} s", LIMIT.as_secs());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Another machine: a network namespace that is there as long as this value.
pub(crate) struct Namespace {
    keeper: Child,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up; echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "\n", "no network namespace");
        Self { keeper }
    }

    /// Moves one of our interfaces there.
    pub(crate) fn take(&self, interface: &str) {
        run(&format!("ip link set {interface} netns {}", self.keeper.id()));
    }

    /// Runs a program there, with blanks between its arguments.
    pub(crate) fn run(&self, line: &str) {
        let mut words = line.split(' ');
        done(self.command(words.next().unwrap()).args(words));
    }

    /// Runs a program there.
    pub(crate) fn run_with(&self, program: &str, arguments: &[&str]) -> String {
        done(self.command(program).args(arguments))
    }

    /// A program that is to run there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.keeper.id()))
            .arg(program);
        command
    }

    /// Looks at what passes `interface` there from now on.
    pub(crate) fn capture(&self, interface: &str, filter: &str, options: &[&str]) -> Capture {
        Capture::start(self.command("timeout"), interface, filter, options)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// tcpdump at work.
pub(crate) struct Capture {
    child: Child,
    /// Kept, so that its last words do not end it.
    _said: Lines<BufReader<ChildStderr>>,
    seen: Option<ChildStdout>,
}

impl Capture {
    fn start(mut timeout: Command, interface: &str, filter: &str, options: &[&str]) -> Self {
        let mut child = timeout
            .args([&LIMIT.as_secs().to_string(), "tcpdump"])
            .args([
                "-i",
                interface,
                "-n",
                "-t",
                "-l",
                "--immediate-mode",
                "-Z",
                "root",
            ])
            .args(options)
            .arg(filter)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = said.by_ref().any(|line| line.unwrap().contains("listening on "));
        assert!(ready, "tcpdump does not start");
        let seen = child.stdout.take();
        Self {
            child,
            _said: said,
            seen,
        }
    }

    /// What it has seen once it ends by itself, as `-c` makes it.
    pub(crate) fn lines_to_the_end(mut self) -> Vec<String> {
        let seen = BufReader::new(self.seen.take().unwrap()).lines();
        seen.map(Result::unwrap).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that ends with its test.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file with this content.
pub(crate) fn write(path: &std::path::Path, content: &str) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(content.as_bytes())
        .unwrap();
}
