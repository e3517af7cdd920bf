//! A campus in network namespaces: our machine with two links, and everything that can be reached by one of them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use netsetup::edge::internet::{self, LIMIT};
use netsetup_core::desired::Ingest;
use netsetup_core::engine::{Lease, Question, Verdict};
use netsetup_core::names::{InterfaceName, MacAddress};
use tempfile::TempDir;

use crate::world::{self, Namespace, Program, run, wait_until};

/// The uplink's gateway and name server.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The ingest.
pub(crate) const INGEST: &str = "203.0.113.10";
pub(crate) const HOST: &str = "ingest.example";

/// A campus: our machine with two links, and everything that can be reached by one of them.
pub(crate) struct Campus {
    pub(crate) network: Namespace,
    _robot: Namespace,
    pub(crate) files: TempDir,
    programs: Vec<Program>,
}

impl Campus {
    /// Nobody serves anything yet, and what is not there is refused.
    pub(crate) fn new() -> Self {
        let (network, robot) = (Namespace::new(), Namespace::new());
        run("ip link add wlan0 type veth peer name campus");
        run("ip link add eth0 type veth peer name robot");
        network.take("campus");
        robot.take("robot");
        run("ip address add 198.51.100.20/24 dev wlan0");
        run("ip address add 192.168.50.21/24 dev eth0");
        run("ip address add 2001:db8:100::20/64 dev wlan0 nodad");
        run("ip link set wlan0 addrgenmode none up");
        run("ip link set eth0 addrgenmode none up");
        robot.run("ip link set robot up");
        for line in [
            "ip address add 198.51.100.1/24 dev campus",
            "ip address add 198.51.100.2/24 dev campus",
            "ip address add 2001:db8:100::1/64 dev campus nodad",
            "ip link set campus up",
            "ip route add local 203.0.113.0/24 dev lo",
            "ip route add local 2001:db8:203::/64 dev lo",
            "sysctl -q -w net.ipv4.ip_forward=1",
        ] {
            network.run(line);
        }
        world::wait_for_carrier("wlan0");
        world::wait_for_carrier("eth0");
        run("ip route add default via 192.168.50.3 dev eth0 metric 100");
        run("ip route add default via 198.51.100.1 dev wlan0 metric 600");
        run("ip -6 route add default via 2001:db8:100::1 dev wlan0");
        // As netsetup has it. A segment for a socket that is gone is refused by the kernel, bound to no link.
        run("ip route add 198.51.100.0/24 dev wlan0 table 7");
        run("ip route add default via 198.51.100.1 dev wlan0 table 7");
        run("ip rule add priority 101 from 198.51.100.20 lookup 7");
        let files = tempfile::tempdir().unwrap();
        make_ca(files.path(), "ca");
        Self {
            network,
            _robot: robot,
            files,
            programs: Vec::new(),
        }
    }

    /// Starts a program in the campus, and waits until it listens on a port.
    fn serve(&mut self, command: &mut Command, listener: &str) {
        self.programs.push(Program::start(command.stdout(Stdio::null())));
        wait_until(&format!("{command:?} listens on {listener}"), || {
            self.network
                .run_with("ss", &["-Hlntu"])
                .contains(&format!("{listener} "))
        });
    }

    pub(crate) fn with_names(mut self, more: &[&str]) -> Self {
        let mut dnsmasq = self.network.command("dnsmasq");
        dnsmasq
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--leasefile-ro",
            ])
            .args([
                "--user=root",
                "--pid-file=",
                "--bind-interfaces",
                "--local=/example/",
            ])
            .args([
                "--listen-address=198.51.100.1",
                "--host-record=portal.example,198.51.100.2",
            ])
            .args(more);
        self.serve(&mut dnsmasq, "198.51.100.1:53");
        self
    }

    pub(crate) fn with_ingest(self) -> Self {
        self.with_server("ca", HOST, &[])
    }

    /// A TLS server on every address, with a certificate by `ca` for `name`.
    pub(crate) fn with_server(mut self, ca: &str, name: &str, times: &[&str]) -> Self {
        self.certify(ca, name, times);
        let mut server = self.network.command("openssl");
        server
            .args([
                "s_server",
                "-www",
                "-quiet",
                "-accept",
                "443",
                "-cert",
                "server.pem",
                "-key",
                "server.key",
            ])
            .current_dir(self.files.path());
        self.serve(&mut server, "*:443");
        self
    }

    pub(crate) fn certify(&self, ca: &str, name: &str, times: &[&str]) {
        openssl(self.files.path())
            .args(["-CA", &format!("{ca}.pem"), "-CAkey", &format!("{ca}.key")])
            .args([
                "-keyout",
                "server.key",
                "-out",
                "server.pem",
                "-subj",
                "/CN=server",
            ])
            .args(["-addext", &format!("subjectAltName=DNS:{name},IP:{INGEST}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(times)
            .done();
    }

    /// nginx with these servers.
    pub(crate) fn with_pages(mut self, servers: &str, listener: &str) -> Self {
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{}} http {{ access_log off; {servers} }}"
        );
        let files = self.files.path().to_owned();
        world::write(&files.join("nginx.conf"), &configuration);
        let mut nginx = self.network.command("nginx");
        nginx.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(&files);
        self.serve(&mut nginx, listener);
        self
    }

    /// A program of a few lines that serves what no real server does.
    pub(crate) fn with_python(mut self, program: &str, listener: &str) -> Self {
        let mut python = self.network.command("python3");
        self.serve(python.args(["-c", program]), listener);
        self
    }

    /// Whatever goes to `network` is taken for itself by the campus, as portals do.
    pub(crate) fn intercepting(self, network: &str) -> Self {
        self.network.run(&format!("ip route add local {network} dev lo"));
        self
    }

    pub(crate) fn question(&self) -> Question {
        Question {
            interface: InterfaceName::parse("wlan0").unwrap(),
            address: "198.51.100.20/24".parse().unwrap(),
            name_servers: vec![GATEWAY],
            lease: None,
            ingest: Ingest {
                host: HOST.to_owned(),
                port: 443,
                tls: true,
                extra_ca: Some(self.files.path().join("ca.pem").to_str().unwrap().to_owned()),
            },
        }
    }

    /// The same, when our address is by DHCP of the gateway, which knows us by the last byte of a hardware address.
    pub(crate) fn question_with_lease(&self, client: u8) -> Question {
        let lease = Lease {
            server: GATEWAY,
            client: MacAddress([2, 0, 0, 0, 0, client]),
        };
        Question {
            lease: Some(lease),
            ..self.question()
        }
    }

    /// Asks in the time that it may take, and by no other link.
    pub(crate) async fn ask(&self, question: &Question) -> Verdict {
        let start = Instant::now();
        let verdict = internet::ask(question).await;
        assert!(start.elapsed() <= LIMIT, "{:?}", start.elapsed());
        assert_eq!(world::sent("eth0"), 0, "packets left by the robot's link");
        verdict
    }

    pub(crate) async fn verdict(&self) -> Verdict {
        self.ask(&self.question()).await
    }
}

fn openssl(directory: &Path) -> Command {
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .current_dir(directory);
    command
}

pub(crate) fn make_ca(directory: &Path, name: &str) {
    openssl(directory)
        .args([
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.pem"),
            "-subj",
            "/CN=CA",
        ])
        .done();
}

trait Done {
    fn done(&mut self);
}

impl Done for Command {
    fn done(&mut self) {
        let output = self.output().unwrap();
        assert!(
            output.status.success(),
            "{self:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
