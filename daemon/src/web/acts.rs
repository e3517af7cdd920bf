//! What only who knows the password may do. Each act is one request to the run loop, and then the page again.

use std::time::{Duration, Instant};

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use spotstream_core::secret::Secret;
use tokio::time::timeout;
use tracing::{info, warn};

use super::door::{Answer, Notice, SESSION};
use super::forms::{self, Fields};
use super::listen::Peer;
use super::page::Reader;
use super::view::shown;
use super::{Site, look};
use crate::control::{Refusal, Reply, Request, Status};
use crate::edge::pins::Role;

const COOKIE: &str = "spotstream";
/// How long the robot may take to do what is asked.
const ACT_LIMIT: Duration = Duration::from_secs(20);
/// How long the page waits for the status to follow.
const TOLD_LIMIT: Duration = Duration::from_millis(1500);

type Posted = Result<Form<Fields>, FormRejection>;

/// The token that the browser has kept.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, token)| (name == COOKIE).then_some(token))
}

pub(super) async fn log_in(
    State(site): State<Site>,
    Extension(Peer(from)): Extension<Peer>,
    posted: Posted,
) -> Response {
    let fields = posted.map(|Form(fields)| fields).unwrap_or_default();
    let given = Secret::new(forms::text(&fields, "password").unwrap_or_default());
    let answer = site.door().knock(Instant::now(), from, &given, rand::random());
    let (code, sentence) = match answer {
        Answer::Welcome(token) => {
            info!("somebody has logged in on the page");
            return (cookie(&token, SESSION), Redirect::to("/")).into_response();
        }
        Answer::Wrong => {
            warn!("somebody has given a wrong password on the page");
            let sentence = "That is not the password; it stands in the settings file below [status].";
            (StatusCode::FORBIDDEN, sentence.to_owned())
        }
        Answer::Wait(pause) => {
            let seconds = pause.as_secs() + 1;
            let sentence = format!("A wrong password came from you just now: try again in {seconds} s.");
            (StatusCode::TOO_MANY_REQUESTS, sentence)
        }
        Answer::Closed => return look::show(&site, &Reader::Guest, None).await,
    };
    let page = look::show(&site, &Reader::Stranger(Some(sentence)), None).await;
    (code, page).into_response()
}

pub(super) async fn log_out(State(site): State<Site>, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        site.door().leave(token);
    }
    (cookie("", Duration::ZERO), Redirect::to("/")).into_response()
}

/// Lax about nothing: the browser gives it back to our own page alone, and shows it to no script.
fn cookie(token: &str, age: Duration) -> HeaderMap {
    let text = format!(
        "{COOKIE}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
        age.as_secs()
    );
    HeaderValue::try_from(text)
        .map(|value| HeaderMap::from_iter([(header::SET_COOKIE, value)]))
        .unwrap_or_default()
}

pub(super) async fn start(State(site): State<Site>, headers: HeaderMap) -> Response {
    act(&site, &headers, "It starts.", async {
        site.ask(|reply| Request::Start { reply }).await?;
        site.until(|status| !matches!(status.state, "Idle" | "Fault"))
            .await;
        Ok(())
    })
    .await
}

pub(super) async fn stop(State(site): State<Site>, headers: HeaderMap) -> Response {
    act(&site, &headers, "It stops.", async {
        site.ask(|reply| Request::Stop { reply }).await?;
        site.until(|status| status.state == "Idle").await;
        Ok(())
    })
    .await
}

pub(super) async fn screen(State(site): State<Site>, headers: HeaderMap, posted: Posted) -> Response {
    act(&site, &headers, "The camera shows it.", async {
        let fields = fields(posted)?;
        let wanted = forms::text(&fields, "screen").ok_or("choose a screen first")?;
        let name = wanted.to_owned();
        site.ask(|reply| Request::SetScreen { name, reply }).await?;
        site.until(|status| status.screen.as_deref() == Some(wanted))
            .await;
        Ok(())
    })
    .await
}

pub(super) async fn camera(State(site): State<Site>, headers: HeaderMap, posted: Posted) -> Response {
    act(&site, &headers, "The camera does so.", async {
        let fields = fields(posted)?;
        let now = site.sources.control.status.borrow().stream_parameters;
        let change = forms::change(&fields, &now)?;
        let applied = site.ask(|reply| Request::SetCamera { change, reply }).await?;
        site.until(|status| status.stream_parameters == applied).await;
        Ok(())
    })
    .await
}

pub(super) async fn accept(State(site): State<Site>, headers: HeaderMap, posted: Posted) -> Response {
    act(
        &site,
        &headers,
        "The certificate is trusted from now on.",
        async {
            let fields = fields(posted)?;
            let role: Role = forms::text(&fields, "peer")
                .and_then(|peer| peer.parse().ok())
                .ok_or("a certificate of the robot or of the camera can be accepted, nothing else")?;
            let now = shown(&site.sources.control.status.borrow().pins, role);
            if now.is_empty() || forms::text(&fields, "shown") != Some(now.as_str()) {
                return Err("another certificate has been shown since: look at it again".into());
            }
            site.ask(|reply| Request::AcceptPin { role, reply }).await?;
            site.until(|status| shown(&status.pins, role).is_empty()).await;
            Ok(())
        },
    )
    .await
}

pub(super) async fn doctor(State(site): State<Site>, headers: HeaderMap) -> Response {
    act(
        &site,
        &headers,
        "Doctor has looked at everything; see below.",
        async {
            let _work = site
                .doctor
                .work
                .try_lock()
                .map_err(|_| "doctor is at work already: look again in a minute")?;
            let findings = site.sources.appliance.doctor().await.map_err(Failure::from)?;
            *site.doctor.findings() = Some(findings);
            Ok(())
        },
    )
    .await
}

pub(super) async fn report(State(site): State<Site>, headers: HeaderMap) -> Response {
    let is_operator = token(&headers).is_some_and(|token| site.door().knows(Instant::now(), token));
    if !is_operator {
        return (StatusCode::FORBIDDEN, "log in on the page first\n").into_response();
    }
    match site.sources.appliance.report().await {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"spotstream-report.txt\"",
                ),
            ];
            (headers, text).into_response()
        }
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
    }
}

/// Why an act was not carried out, for a person.
struct Failure(String);

impl From<&str> for Failure {
    fn from(sentence: &str) -> Self {
        Self(sentence.to_owned())
    }
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self(sentence)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.sentence)
    }
}

fn fields(posted: Posted) -> Result<Fields, Failure> {
    posted
        .map(|Form(fields)| fields)
        .map_err(|_| Failure::from("the form came in pieces: try again"))
}

impl Site {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Failure> {
        match timeout(ACT_LIMIT, self.sources.control.ask(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err("the robot has not answered in time: see what it does below, and try again".into()),
        }
    }
}

impl Site {
    /// Waits until the status tells it, so that the page that follows does; the status is told once a second.
    async fn until(&self, told: impl FnMut(&Status) -> bool) {
        let mut status = self.sources.control.status.clone();
        // What takes longer is seen a little later.
        let _ = timeout(TOLD_LIMIT, status.wait_for(told)).await;
    }
}

/// Does it for who may, and shows the page again with what came of it.
async fn act(
    site: &Site,
    headers: &HeaderMap,
    done: &str,
    work: impl Future<Output = Result<(), Failure>>,
) -> Response {
    let token = token(headers).unwrap_or_default();
    if !site.door().knows(Instant::now(), token) {
        let sentence = "Log in first: the last login is over.".to_owned();
        let reader = if site.door().has_a_password() {
            Reader::Stranger(Some(sentence))
        } else {
            Reader::Guest
        };
        let page = look::show(site, &reader, None).await;
        return (StatusCode::FORBIDDEN, page).into_response();
    }
    let outcome = work.await;
    let notice = Notice {
        is_done: outcome.is_ok(),
        sentence: match outcome {
            Ok(()) => done.to_owned(),
            Err(Failure(sentence)) => super::page::sentence(&sentence),
        },
    };
    site.door().tell(Instant::now(), token, notice);
    Redirect::to("/").into_response()
}
