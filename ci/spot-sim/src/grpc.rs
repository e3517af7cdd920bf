//! The robot's one TLS port: every authority, every service, every call written down.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service as _;

use crate::services::directory::{self, Entry};
use crate::world::{Call, World};
use crate::{locked, services};

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>) -> anyhow::Result<()> {
    let gate = Gate {
        routes: services::routes(&world),
        messages: DescriptorPool::decode(&include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.fds"))[..])
            .context("failed to read the descriptors")?,
        world,
    };
    loop {
        let (stream, peer) = listener.accept().await.context("failed to accept a connection")?;
        let (tls, gate) = (tls.clone(), gate.clone());
        tokio::spawn(async move {
            let stream = match tls.accept(stream).await {
                Ok(stream) => stream,
                Err(error) => return tracing::debug!(%peer, "TLS failed: {error}"),
            };
            let service = hyper::service::service_fn(move |request| gate.clone().call(request));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%peer, "connection ended: {error}");
            }
        });
    }
}

#[derive(Clone)]
struct Gate {
    routes: Routes,
    messages: DescriptorPool,
    world: Arc<World>,
}

impl Gate {
    async fn call(mut self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return Ok(Status::cancelled("the request never ended").into_http());
        };
        let body = body.to_bytes();
        let path = parts.uri.path();
        let authority = parts.uri.host().unwrap_or_default();
        let header = parts
            .headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let entry = directory::entry_of(path);
        let authorized = self.world.admits(header) || entry.is_some_and(|entry| !entry.needs_token);
        self.write_down(authority, path, authorized, &body);
        if let Err(status) = admit(entry, authority, authorized) {
            return Ok(status.into_http());
        }
        self.routes
            .call(Request::from_parts(parts, Full::new(body)))
            .await
    }

    fn write_down(&self, authority: &str, path: &str, authorized: bool, body: &Bytes) {
        tracing::debug!(authority, path, authorized, "call");
        let call = Call {
            unix_ms: crate::unix_ms(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            authorized,
            request: self.text(path, body).unwrap_or_default(),
        };
        locked(&self.world.state).calls.push(call);
    }

    /// The first message of a call, without secrets.
    fn text(&self, path: &str, body: &Bytes) -> Option<String> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let service = self.messages.get_service_by_name(service)?;
        let method = service.methods().find(|candidate| candidate.name() == method)?;
        let mut message = DynamicMessage::decode(method.input(), body.get(5..)?).ok()?;
        blank_secrets(&mut message);
        Some(message.to_text_format())
    }
}

fn admit(entry: Option<&Entry>, authority: &str, authorized: bool) -> Result<(), Status> {
    let entry = entry.ok_or_else(|| Status::unimplemented("this robot has no such service"))?;
    if entry.authority != authority {
        return Err(Status::unimplemented(format!(
            "'{authority}' does not serve {}",
            entry.kind
        )));
    }
    if authorized {
        Ok(())
    } else {
        Err(Status::unauthenticated("a valid token is required"))
    }
}

fn blank_secrets(message: &mut DynamicMessage) {
    for field in message.descriptor().fields() {
        if matches!(field.name(), "password" | "token" | "secret" | "payload_secret") {
            message.clear_field(&field);
        } else if message.has_field(&field)
            && let Value::Message(inner) = message.get_field_mut(&field)
        {
            blank_secrets(inner);
        }
    }
}
