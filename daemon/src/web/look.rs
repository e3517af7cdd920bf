//! What anybody may look at.

use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use tokio::time::timeout;

use super::door::Notice;
use super::page::{self, Reader};
use super::view::View;
use super::{Site, acts};
use crate::control::Request;

/// The camera has named its screens by then, or the page goes without.
const SCREENS_LIMIT: Duration = Duration::from_secs(3);

/// The page. `?live` is the script's: it does not use the form for which the camera would have to be asked, and leaves
/// what a person is to be told for the person.
pub(super) async fn page(
    State(site): State<Site>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let is_script = query.as_deref() == Some("live");
    let token = acts::token(&headers).unwrap_or_default();
    let now = Instant::now();
    let (is_operator, has_a_password, notice) = {
        let mut door = site.door();
        let is_operator = door.knows(now, token);
        let notice = (!is_script).then(|| door.told(now, token)).flatten();
        (is_operator, door.has_a_password(), notice)
    };
    let reader = match (is_operator, has_a_password) {
        (true, _) if is_script => Reader::Operator(Ok(Vec::new())),
        (true, _) => Reader::Operator(screens(&site).await),
        (false, true) => Reader::Stranger(None),
        (false, false) => Reader::Guest,
    };
    show(&site, &reader, notice.as_ref()).await
}

/// The page for a reader.
pub(super) async fn show(site: &Site, reader: &Reader, notice: Option<&Notice>) -> Response {
    let view = view(site, reader.may_steer()).await;
    Html(page::page(&view, reader, notice).into_string()).into_response()
}

/// The same for programs.
pub(super) async fn json(State(site): State<Site>) -> Response {
    Json(view(&site, false).await).into_response()
}

/// What doctor has found is for who may steer: it names networks and addresses.
async fn view(site: &Site, may_steer: bool) -> View {
    let appliance = site.sources.appliance.known().await;
    let network = site.sources.network.borrow().clone();
    let doctor = site.doctor.findings().clone().filter(|_| may_steer);
    View::new(&site.sources.control.status.borrow(), network, appliance, doctor)
}

async fn screens(site: &Site) -> Result<Vec<String>, String> {
    let asked = site.sources.control.ask(|reply| Request::ListScreens { reply });
    match timeout(SCREENS_LIMIT, asked).await {
        Ok(Ok(screens)) => Ok(screens),
        Ok(Err(refusal)) => Err(format!("Its screens are not known: {refusal}.")),
        Err(_) => Err("Its screens are not known: the camera has not answered in time.".to_owned()),
    }
}

pub(super) fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("style.css"))
}

pub(super) fn script() -> Response {
    text("text/javascript; charset=utf-8", include_str!("page.js"))
}

pub(super) fn icon() -> Response {
    text("image/svg+xml", include_str!("icon.svg"))
}

fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// There is one page.
pub(super) fn nowhere() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here: the page is at /\n").into_response()
}

/// A button's address, typed into the browser.
pub(super) fn another_way() -> Response {
    let sentence = "this is a button: press it on the page, which is at /\n";
    (StatusCode::METHOD_NOT_ALLOWED, sentence).into_response()
}
