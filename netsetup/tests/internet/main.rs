//! The internet check against other people's servers: dnsmasq, OpenSSL and nginx behind the uplink. The best route
//! leads to the robot's link, which must not see one packet.
#![expect(clippy::unwrap_used, reason = "a test that is surprised has failed")]

mod campus;
#[path = "../world/mod.rs"]
mod world;

use std::net::Ipv4Addr;

use campus::{Campus, GATEWAY, HOST, INGEST, make_ca};
use netsetup_core::engine::Verdict;
use tokio::net::TcpStream;
use world::{in_namespace, run};

/// What the portal's pages say.
const LOGIN: &str = "http://portal.example/login?mac=02:00:00:00:00:20";

fn portal(url: &str) -> Verdict {
    Verdict::CaptivePortal(Some(url.to_owned()))
}

const NAME: &str = "--host-record=ingest.example,203.0.113.10";
const DHCP: &str = "--dhcp-range=198.51.100.0,static";
const REDIRECTION: &str = "server { listen 80; location / {
    return 302 http://me:secret@portal.example/login?mac=02:00:00:00:00:20; } }";
const FUTURE: [&str; 4] = ["-not_before", "20980101000000Z", "-not_after", "20990101000000Z"];
const PAST: [&str; 4] = ["-not_before", "20200101000000Z", "-not_after", "20210101000000Z"];

#[test]
fn a_server_that_proves_itself_is_online_by_name_by_alias_by_address_and_by_ipv6() {
    in_namespace(async {
        let names = [
            NAME,
            "--host-record=six.example,2001:db8:203::10",
            "--cname=alias.example,ingest.example",
        ];
        let campus = Campus::new().with_names(&names);
        let campus = campus.with_server("ca", "ingest.example,DNS:alias.example,DNS:six.example", &[]);
        let mut question = campus.question();
        for host in [HOST, "alias.example", "six.example", "ingest.example.", INGEST] {
            question.ingest.host = host.to_owned();
            assert_eq!(campus.ask(&question).await, Verdict::Online, "{host}");
        }
        // An address needs no name server.
        question.name_servers.clear();
        assert_eq!(campus.ask(&question).await, Verdict::Online);
        question.ingest.host = HOST.to_owned();
        assert_eq!(campus.ask(&question).await, Verdict::DnsSilent);
    });
}

#[test]
fn an_answer_too_long_for_udp_is_fetched_by_tcp() {
    in_namespace(async {
        let records: Vec<_> = (10..90)
            .map(|host| format!("--host-record=ingest.example,203.0.113.{host}"))
            .collect();
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let campus = Campus::new().with_names(&records).with_ingest();
        let capture = campus.network.capture("campus", "src port 53", &["-c4"]);
        assert_eq!(campus.verdict().await, Verdict::Online);
        let seen = capture.lines_to_the_end();
        assert!(seen[0].contains("UDP") || seen[0].contains('|'), "{seen:#?}");
        assert!(seen.iter().any(|line| line.contains("80/0/0")), "{seen:#?}");
    });
}

#[test]
fn one_name_server_that_works_is_enough() {
    in_namespace(async {
        let campus = Campus::new().with_names(&[NAME]).with_ingest();
        campus.network.run("ip route add blackhole 203.0.113.66/32");
        let mut question = campus.question();
        // One is silent, one says that it serves no names.
        question.name_servers = vec![
            Ipv4Addr::new(203, 0, 113, 66),
            Ipv4Addr::new(198, 51, 100, 2),
            GATEWAY,
        ];
        assert_eq!(campus.ask(&question).await, Verdict::Online);
    });
}

#[test]
fn silent_name_servers_a_name_that_is_not_there_and_a_server_that_is_not_are_told_apart() {
    in_namespace(async {
        let campus = Campus::new();
        assert_eq!(campus.verdict().await, Verdict::DnsSilent);
        campus.network.run("ip route add blackhole 203.0.113.66/32");
        let mut question = campus.question();
        question.name_servers = vec![Ipv4Addr::new(203, 0, 113, 66)];
        assert_eq!(campus.ask(&question).await, Verdict::DnsSilent);

        let campus = campus.with_names(&[NAME, "--host-record=lost.example,203.0.113.66"]);
        assert_eq!(campus.verdict().await, Verdict::Unreachable);
        let mut question = campus.question();
        question.ingest.host = "lost.example".to_owned();
        assert_eq!(campus.ask(&question).await, Verdict::Unreachable);
        question.ingest.host = "nowhere.example".to_owned();
        assert_eq!(campus.ask(&question).await, Verdict::NoSuchHost);
        run("ip link set wlan0 down");
        assert_eq!(campus.verdict().await, Verdict::DnsSilent);
    });
}

#[test]
fn a_certificate_of_another_authority_or_for_another_name_is_wrong() {
    in_namespace(async {
        let campus = Campus::new()
            .with_names(&[NAME])
            .with_server("ca", "other.example", &[]);
        assert_eq!(campus.verdict().await, Verdict::WrongCertificate);
        let mut question = campus.question();
        question.ingest.extra_ca = Some("/nowhere/ca.pem".to_owned());
        question.ingest.host = INGEST.to_owned();
        assert_eq!(campus.ask(&question).await, Verdict::WrongCertificate);
    });
}

#[test]
fn a_certificate_that_is_right_at_another_time_means_a_wrong_clock() {
    for times in [FUTURE, PAST] {
        in_namespace(async move {
            let campus = Campus::new().with_names(&[NAME]).with_server("ca", HOST, &times);
            assert_eq!(campus.verdict().await, Verdict::ClockNotSet, "{times:?}");
        });
    }
}

#[test]
fn a_strangers_certificate_that_is_out_of_date_too_is_a_strangers() {
    for times in [FUTURE, PAST] {
        in_namespace(async move {
            let campus = Campus::new().with_names(&[NAME]);
            make_ca(campus.files.path(), "stranger");
            let campus = campus.with_server("stranger", HOST, &times);
            assert_eq!(campus.verdict().await, Verdict::WrongCertificate, "{times:?}");
        });
    }
}

#[test]
fn a_portal_that_takes_every_connection_is_known_by_its_redirection() {
    in_namespace(async {
        let campus = Campus::new()
            .with_names(&[NAME])
            .with_pages(REDIRECTION, "0.0.0.0:80");
        // Only the server's own address is let through to the portal, which has nothing for TLS.
        assert_eq!(campus.verdict().await, portal(LOGIN));
        // Every address is, and it answers TLS with a certificate of its own.
        let campus = campus
            .intercepting("192.0.2.1/32")
            .with_server("ca", "portal.example", &[]);
        assert_eq!(campus.verdict().await, portal(LOGIN));
        let mut question = campus.question();
        question.ingest.host = "nowhere.example".to_owned();
        assert_eq!(campus.ask(&question).await, portal(LOGIN));
    });
}

#[test]
fn without_tls_a_portal_is_known_though_it_takes_the_connection() {
    in_namespace(async {
        let campus = Campus::new().with_names(&[NAME]).with_ingest();
        let mut question = campus.question();
        question.ingest.tls = false;
        assert_eq!(campus.ask(&question).await, Verdict::Online);
        let campus = campus.with_pages(REDIRECTION, "0.0.0.0:80");
        assert_eq!(campus.ask(&question).await, portal(LOGIN));
    });
}

#[test]
fn a_page_of_the_true_server_is_no_portal_but_a_page_from_nowhere_is() {
    in_namespace(async {
        let page = "server { listen 80; location / { return 200 hello; } }";
        let portal_page = "--dhcp-option=114,http://portal.example/welcome";
        let campus = Campus::new()
            .with_names(&[NAME, DHCP, portal_page])
            .with_pages(page, "0.0.0.0:80");
        assert_eq!(campus.verdict().await, Verdict::Unreachable);
        let campus = campus.intercepting("192.0.2.1/32");
        assert_eq!(campus.verdict().await, Verdict::CaptivePortal(None));
        let wanted = portal("http://portal.example/welcome");
        assert_eq!(campus.ask(&campus.question_with_lease(1)).await, wanted);
    });
}

#[test]
fn the_portal_that_dhcp_names_says_whether_the_way_is_free_and_which_page_to_see() {
    in_namespace(async {
        let api = |path: &str, kind: &str, body: &str| {
            format!("location = {path} {{ default_type {kind}; return 200 '{body}'; }}")
        };
        let captive = r#"{"captive":true,"user-portal-url":"https://portal.example/login"}"#;
        let server = format!(
            "server {{ listen 198.51.100.2:443 ssl; ssl_certificate server.pem; ssl_certificate_key server.key; {}{}{}{}}}",
            api("/captive", "application/captive+json", captive),
            api("/bare", "application/captive+json", r#"{"captive":true}"#),
            api("/free", "application/captive+json", r#"{"captive":false}"#),
            api("/page", "text/html", captive),
        );
        let login = portal("https://portal.example/login");
        let cases = [
            ("https://portal.example/captive", login.clone()),
            ("https://portal.example/bare", Verdict::CaptivePortal(None)),
            ("https://portal.example/free", Verdict::Unreachable),
            ("https://portal.example/page", Verdict::Unreachable),
            ("https://portal.example/missing", Verdict::Unreachable),
            ("urn:ietf:params:capport:unrestricted", Verdict::Unreachable),
            // A portal that cannot prove its name is not believed.
            ("https://other.example/captive", Verdict::Unreachable),
            ("https://198.51.100.2/captive", Verdict::Unreachable),
        ];
        // One server says something else to each client.
        let mut options = vec![NAME.to_owned(), DHCP.to_owned()];
        options.extend((1..).zip(&cases).flat_map(|(client, (uri, _))| {
            [
                format!("--dhcp-mac=set:client{client},02:00:00:00:00:{client:02}"),
                format!("--dhcp-option=tag:client{client},114,{uri}"),
            ]
        }));
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let campus = Campus::new().with_names(&options);
        campus.certify("ca", "portal.example", &[]);
        let campus = campus.with_pages(&server, "198.51.100.2:443");
        for (client, (uri, wanted)) in (1..).zip(cases) {
            let question = campus.question_with_lease(client);
            assert_eq!(campus.ask(&question).await, wanted, "{uri}");
        }
        // An address that did not come by DHCP is nothing to ask for.
        assert_eq!(campus.verdict().await, Verdict::Unreachable);
        // So it is when the ingest's name is not known.
        let mut question = campus.question_with_lease(1);
        question.ingest.host = "nowhere.example".to_owned();
        assert_eq!(campus.ask(&question).await, login);
    });
}

#[test]
fn while_the_server_proves_itself_the_dhcp_server_is_not_asked() {
    in_namespace(async {
        let campus = Campus::new()
            .with_names(&[NAME, DHCP, "--dhcp-option=114,https://portal.example/"])
            .with_ingest();
        // A wire keeps the order: whatever went before the last packet would be seen first.
        let capture = campus
            .network
            .capture("campus", "udp port 67 or port 7", &["-c1"]);
        let verdict = campus.ask(&campus.question_with_lease(1)).await;
        assert_eq!(verdict, Verdict::Online);
        assert!(TcpStream::connect("198.51.100.1:7").await.is_err());
        let seen = capture.lines_to_the_end();
        assert!(seen[0].contains("198.51.100.1.7:"), "{seen:?}");
    });
}

#[test]
fn noise_for_answers_costs_time_but_never_more_than_the_limit() {
    in_namespace(async {
        let noise = "import os, socket
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(('198.51.100.1', 53))
while True:
    asked, who = names.recvfrom(2000)
    for length in (0, 1, 12, 40, 512, 1400): names.sendto(os.urandom(length), who)
    names.sendto(asked[:2] + b'\\x81\\x80' + os.urandom(60), who)
    names.sendto(asked[:2] + b'\\x81\\x80\\0\\1\\xff\\xff\\xff\\xff\\xff\\xff' + asked[12:] + b'\\xc0\\x0c' * 99, who)";
        let campus = Campus::new().with_python(noise, "198.51.100.1:53");
        assert_eq!(campus.verdict().await, Verdict::DnsSilent);
    });
}

#[test]
fn servers_that_never_end_cost_no_more_than_the_limit() {
    in_namespace(async {
        let endless = "import os, socket, threading
def serve(port, head, more):
    listener = socket.create_server(('0.0.0.0', port))
    while True: threading.Thread(target=pour, args=(listener.accept()[0], head, more), daemon=True).start()
def pour(peer, head, more):
    try:
        peer.sendall(head)
        while True: peer.sendall(more())
    except OSError: pass
api = b'HTTP/1.1 200 OK\\r\\ncontent-type: application/captive+json\\r\\n\\r\\n{\"captive\":'
threading.Thread(target=serve, args=(443, b'', lambda: os.urandom(4096))).start()
threading.Thread(target=serve, args=(80, b'HTTP/1.1 302 Found\\r\\nx: ', lambda: b'y' * 4096)).start()
serve(8080, api, lambda: b' ' * 4096)";
        let campus = Campus::new()
            .with_names(&[NAME, DHCP, "--dhcp-option=114,http://portal.example:8080/api"])
            .intercepting("192.0.2.1/32")
            .with_python(endless, "0.0.0.0:8080");
        let question = campus.question_with_lease(1);
        assert_eq!(campus.ask(&question).await, Verdict::WrongCertificate);
    });
}

#[test]
fn servers_that_take_a_connection_and_say_nothing_cost_no_more_than_the_limit() {
    in_namespace(async {
        let silent = "import socket, time
listeners = [socket.create_server(('0.0.0.0', port)) for port in (80, 8080, 443)]
time.sleep(60)";
        let campus = Campus::new()
            .with_names(&[NAME, DHCP, "--dhcp-option=114,http://portal.example:8080/"])
            .intercepting("192.0.2.1/32")
            .with_python(silent, "0.0.0.0:443");
        let question = campus.question_with_lease(1);
        assert_eq!(campus.ask(&question).await, Verdict::Unreachable);
    });
}
