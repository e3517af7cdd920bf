//! The status page over real TCP connections: who may look, who may steer, and what a browser is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spotstream_core::robot::stream_parameters::Frames;
use spotstream_core::secret::Secret;
use spotstream_core::units::Bitrate;
use spotstreamd::control::{Control, Refusal, Request, Status};
use spotstreamd::edge::appliance::Appliance;
use spotstreamd::edge::pins::{Fingerprint, Pin, Role};
use spotstreamd::web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const PASSWORD: &str = "planted words & more";
const SOON: Duration = Duration::from_secs(10);

/// A page, a run loop that notes what it is asked, and the ends that keep both alive.
struct World {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    status: watch::Sender<Status>,
    _network: watch::Sender<Option<netsetup::view::Status>>,
}

fn status() -> Status {
    let mut status = Status::new("Live", "", "the camera is live");
    status.screen = Some("mech".to_owned());
    status.payload_guid = Some("78b076a2-b4ba-491d-a099-738928c4410c".to_owned());
    status.stream_parameters.target_bitrate = Some(Bitrate::kbps(4000));
    status.stream_parameters.idr_interval = Some(Frames(60));
    status.statistics.frames_sent = 12_345;
    let pin = Pin {
        role: Role::Camera,
        name: "camera".to_owned(),
        pinned: Some(Fingerprint::of(b"one")),
        refused: Some(Fingerprint::of(b"two")),
    };
    status.pins.push(pin);
    status
}

async fn obey(mut inbox: mpsc::Receiver<Request>, asked: Arc<Mutex<Vec<String>>>) {
    let note = |what: String| asked.lock().unwrap().push(what);
    while let Some(request) = inbox.recv().await {
        match request {
            Request::Start { reply } => {
                note("start".to_owned());
                drop(reply.send(Ok(())));
            }
            Request::Stop { reply } => {
                note("stop".to_owned());
                drop(reply.send(Ok(())));
            }
            Request::ListScreens { reply } => {
                drop(reply.send(Ok(vec!["mech".to_owned(), "<b>&\"".to_owned()])))
            }
            Request::SetScreen { name, reply } => {
                let sentence = "the camera has no such screen".to_owned();
                let refusal = Refusal {
                    kind: "no-such-screen",
                    sentence,
                    is_retryable: false,
                };
                drop(reply.send(if name == "<b>&\"" { Ok(()) } else { Err(refusal) }));
                note(format!("screen {name}"));
            }
            Request::SetCamera { change, reply } => {
                note(format!("camera {change:?}"));
                drop(reply.send(Ok(change)));
            }
            Request::AcceptPin { role, reply } => {
                note(format!("accept {role}"));
                drop(reply.send(Ok(1)));
            }
        }
    }
}

/// What a browser sees of an answer.
struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl World {
    fn new(password: Option<&str>) -> Self {
        let (control, status, inbox) = Control::channel(status());
        let asked = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(obey(inbox, asked.clone()));
        let mut networks = netsetup::view::Status::default();
        networks.uplink.ssid = Some("Lab <script>".to_owned());
        networks.uplink.address = Some("10.3.4.5/16".parse().unwrap());
        networks.robot.own_address = Some("192.168.50.21/24".parse().unwrap());
        let (network, seen) = watch::channel(Some(networks));
        let sources = web::Sources {
            control,
            network: seen,
            appliance: Arc::new(Appliance::new(Some("unix:path=/nonexistent".to_owned()))),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let password = password.map(Secret::new);
        tokio::spawn(web::serve(
            vec![listener],
            web::router(sources, password.as_ref()),
        ));
        Self {
            address,
            asked,
            status,
            _network: network,
        }
    }

    async fn raw(&self, request: &str) -> Answer {
        self.raw_from("127.0.0.1", request).await
    }

    /// Asks from another address of this machine.
    async fn raw_from(&self, from: &str, request: &str) -> Answer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        timeout(SOON, stream.read_to_end(&mut text))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Answer {
            code: code.unwrap_or(0),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        let host = self.address;
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: a=b; spotstream={cookie}\r\n\r\n"
        ))
        .await
    }

    async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        self.post_from("127.0.0.1", path, cookie, form).await
    }

    async fn post_from(&self, from: &str, path: &str, cookie: &str, form: &str) -> Answer {
        let host = self.address;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: spotstream={cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        self.raw_from(from, &request).await
    }

    async fn log_in(&self) -> String {
        let answer = self.post("/login", "", "password=planted+words+%26+more").await;
        assert_eq!(answer.code, 303, "{}", answer.body);
        let cookie = answer.header("set-cookie").unwrap();
        let (token, rest) = cookie
            .strip_prefix("spotstream=")
            .unwrap()
            .split_once(';')
            .unwrap();
        assert!(token.len() >= 43, "{token}");
        for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
            assert!(rest.contains(word), "{rest}");
        }
        token.to_owned()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

const ACTS: [&str; 6] = ["/start", "/stop", "/screen", "/camera", "/accept", "/doctor"];

#[tokio::test]
async fn everybody_may_look_and_a_browser_is_kept_strict() {
    let world = World::new(Some(PASSWORD));
    for path in [
        "/",
        "/?live",
        "/status.json",
        "/style.css",
        "/page.js",
        "/icon.svg",
    ] {
        let answer = world.get(path, "").await;
        assert_eq!(answer.code, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let page = world.get("/", "").await.body;
    for said in [
        "<h2>Live</h2><p>The camera is live.</p>",
        "12\u{202f}345",
        "4\u{202f}000 kb/s",
        "Lab &lt;script&gt;",
        "10.3.4.5/16",
        "192.168.50.21/24",
        "78b076a2-b4ba-491d-a099-738928c4410c",
        "no image version",
        &Fingerprint::of(b"one").to_string(),
        &Fingerprint::of(b"two").to_string(),
    ] {
        assert!(page.contains(said), "{said}\n{page}");
    }
    assert!(!page.contains("action=\"/start\"") && page.contains("action=\"/login\""));
    assert!(!page.contains("http://") && !page.contains("style=") && !page.contains("onclick"));
    assert_eq!(world.get("/nothing", "").await.code, 404);
    assert_eq!(world.get("/start", "").await.code, 405);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn programs_are_told_the_same_without_secrets() {
    let world = World::new(Some(PASSWORD));
    let answer = world.get("/status.json", "").await;
    let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(told["state"], "Live");
    assert_eq!(told["statistics"]["frames_sent"], 12_345);
    assert_eq!(told["stream_parameters"]["target_bitrate_bps"], 4_000_000);
    assert_eq!(told["network"]["uplink"]["address"], "10.3.4.5/16");
    assert_eq!(told["appliance"], serde_json::Value::Null);
    let token = world.log_in().await;
    for path in ["/", "/status.json"] {
        let text = world.get(path, &token).await.body;
        assert!(!text.contains("planted") && !text.contains(&token), "{text}");
    }
}

#[tokio::test]
async fn nobody_steers_without_the_password() {
    let world = World::new(Some(PASSWORD));
    for path in ACTS {
        for cookie in ["", "x", "../../etc/passwd"] {
            let answer = world
                .post(path, cookie, "peer=camera&screen=mech&kbps=3000")
                .await;
            assert_eq!(answer.code, 403, "{path}");
            assert!(answer.body.contains("Log in first"), "{}", answer.body);
        }
    }
    assert_eq!(world.get("/report.txt", "").await.code, 403);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn without_a_password_in_the_settings_the_page_only_tells() {
    let world = World::new(None);
    let page = world.get("/", "").await.body;
    assert!(page.contains("[status]") && !page.contains("<form"), "{page}");
    assert_eq!(
        world.post("/login", "", "password=").await.header("set-cookie"),
        None
    );
    for path in ACTS {
        assert_eq!(world.post(path, "", "").await.code, 403);
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_wrong_password_makes_the_next_one_wait() {
    let world = World::new(Some(PASSWORD));
    let wrong = world.post("/login", "", "password=planted").await;
    assert_eq!((wrong.code, wrong.header("set-cookie")), (403, None));
    assert!(wrong.body.contains("That is not the password"), "{}", wrong.body);
    let soon = world.post("/login", "", "password=planted+words+%26+more").await;
    assert_eq!((soon.code, soon.header("set-cookie")), (429, None));
    assert!(soon.body.contains("try again in"), "{}", soon.body);
    let owner = world
        .post_from("127.0.0.2", "/login", "", "password=planted+words+%26+more")
        .await;
    assert_eq!(owner.code, 303, "a stranger keeps the owner out: {}", owner.body);
}

#[tokio::test]
async fn each_button_asks_the_run_loop_once_and_the_page_says_what_came_of_it() {
    let world = World::new(Some(PASSWORD));
    let token = world.log_in().await;
    for (path, form, said) in [
        ("/start", "", "It starts."),
        ("/stop", "", "It stops."),
        ("/screen", "screen=%3Cb%3E%26%22", "The camera shows it."),
        ("/screen", "screen=none", "The camera has no such screen."),
        ("/screen", "", "Choose a screen first."),
        (
            "/camera",
            "kbps=3000&idr=60&refresh=&awb=shade",
            "The camera does so.",
        ),
        (
            "/camera",
            "kbps=4000&idr=60",
            "It is so already: change a field first.",
        ),
        (
            "/camera",
            "kbps=99999",
            "must be a whole number from 250 to 8500 kb/s",
        ),
        ("/doctor", "", "does not run on this computer"),
    ] {
        let answer = world.post(path, &token, form).await;
        assert_eq!(
            (answer.code, answer.header("location")),
            (303, Some("/")),
            "{path}"
        );
        // The script's look leaves the word for the person.
        assert!(!world.get("/?live", &token).await.body.contains(said), "{said}");
        let page = world.get("/", &token).await.body;
        assert!(page.contains(said), "{said}\n{page}");
        assert!(!world.get("/", &token).await.body.contains(said), "{said}");
    }
    let asked = world.asked();
    assert_eq!(asked[..4], ["start", "stop", "screen <b>&\"", "screen none"]);
    assert!(
        asked[4].contains("Shade") && asked[4].contains("idr_interval: None"),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 5);
    let page = world.get("/", &token).await.body;
    // What holds now is only hinted at: a form that is sent later must not put it back.
    assert!(
        page.contains("placeholder=\"4000\"") && !page.contains("value=\"4000\""),
        "{page}"
    );
    assert!(page.contains("<option>&lt;b&gt;&amp;&quot;</option>"), "{page}");
    assert_eq!(world.get("/report.txt", &token).await.code, 503);
    world.post("/logout", &token, "").await;
    assert_eq!(world.post("/start", &token, "").await.code, 403);
}

#[tokio::test]
async fn a_certificate_is_accepted_only_as_it_was_looked_at() {
    let world = World::new(Some(PASSWORD));
    let token = world.log_in().await;
    let page = world.get("/", &token).await.body;
    let seen = Fingerprint::of(b"two").to_string();
    assert!(
        page.contains(&format!("name=\"shown\" value=\"{seen}\"")),
        "{page}"
    );
    let form = format!("peer=camera&shown={}", seen.replace(':', "%3A"));
    world
        .status
        .send_modify(|status| status.pins[0].refused = Some(Fingerprint::of(b"three")));
    world.post("/accept", &token, &form).await;
    assert!(world.get("/", &token).await.body.contains("look at it again"));
    world.post("/accept", &token, "peer=dog&shown=").await;
    world.post("/accept", &token, "peer=robot&shown=").await;
    assert!(world.asked().is_empty());
    world
        .status
        .send_modify(|status| status.pins[0].refused = Some(Fingerprint::of(b"two")));
    world.post("/accept", &token, &form).await;
    assert_eq!(world.asked(), ["accept camera"]);
}

#[tokio::test]
async fn a_name_of_somebody_else_s_and_a_form_of_somebody_else_s_are_turned_away() {
    let world = World::new(Some(PASSWORD));
    let token = world.log_in().await;
    for host in ["evil.example", "spotstream.local.evil.example", ""] {
        let answer = world
            .raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.code, 421, "{host}");
        assert!(answer.body.contains("http://spotstream.local"), "{}", answer.body);
    }
    assert_eq!(world.raw("GET / HTTP/1.0\r\n\r\n").await.code, 421);
    assert_eq!(
        world
            .raw("GET / HTTP/1.1\r\nHost: spotstream.local\r\n\r\n")
            .await
            .code,
        200
    );
    for origin in [
        "",
        "Origin: null\r\n",
        "Origin: http://evil.example\r\n",
        "Referer: http://spotstream.local/\r\n",
    ] {
        let answer = world
            .raw(&format!(
                "POST /stop HTTP/1.1\r\nHost: spotstream.local\r\n{origin}Cookie: spotstream={token}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!(answer.code, 403, "{origin}");
        assert!(answer.body.contains("status page itself"), "{}", answer.body);
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn who_is_slow_or_sends_too_much_is_cut_off() {
    let world = World::new(Some(PASSWORD));
    let long = "x".repeat(5000);
    assert_eq!(world.post("/login", "", &long).await.code, 413);
    let heads = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n",
        world.address,
        "x".repeat(40_000)
    );
    assert!(matches!(world.raw(&heads).await.code, 0 | 431));
    let start = Instant::now();
    let mut half = TcpStream::connect(world.address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let unsent = format!(
        "POST /login HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Length: 30\r\n\r\npass",
        world.address
    );
    assert_eq!(world.raw(&unsent).await.code, 408);
    let mut rest = Vec::new();
    let ended = timeout(SOON, half.read_to_end(&mut rest)).await.unwrap();
    assert!(
        ended.is_err() || rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "{rest:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(9));
}

#[tokio::test]
async fn one_address_has_a_few_connections_and_gets_them_back() {
    let world = World::new(None);
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(TcpStream::connect(world.address).await.unwrap());
    }
    let mut surplus = TcpStream::connect(world.address).await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(4), surplus.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the surplus is closed sooner than the idle ones");
    drop(idle);
    let start = Instant::now();
    while start.elapsed() < SOON {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", world.address);
        let _ = stream.write_all(request.as_bytes()).await;
        let mut text = Vec::new();
        if stream.read_to_end(&mut text).await.is_ok() && text.starts_with(b"HTTP/1.1 200") {
            return;
        }
    }
    panic!("the places are not given back");
}
