//! An app as its clients see it: requests by host name on the platform's one port.

use std::net::SocketAddr;

use bytes::Bytes;
use reqwest::header::{HOST, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, StatusCode};

use crate::limits::{CHANGE_MAX, REQUEST_MAX};
use crate::wait;

/// A client of one app.
#[derive(Clone)]
pub struct App {
    client: Client,
    address: SocketAddr,
    host: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl App {
    pub fn new(name: &str, address: SocketAddr) -> Self {
        Self::with_host(&format!("{name}.localhost:{}", address.port()), address)
    }

    /// For hosts that are no app's.
    pub fn with_host(host: &str, address: SocketAddr) -> Self {
        let client = Client::builder()
            // A proxy of the machine has no way to this platform.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_MAX)
            .build()
            .unwrap();
        Self {
            client,
            address,
            host: host.to_owned(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url).header(HOST, &self.host)
    }

    /// GET that must be answered, with whatever status.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(Method::GET, path)).await
    }

    pub async fn ask(&self, request: RequestBuilder) -> Answer {
        let shown = format!("{request:?}");
        answer(request)
            .await
            .unwrap_or_else(|error| panic!("no answer to {shown}: {error:?}"))
    }

    /// Waits until `path` is answered with 200.
    pub async fn answers_at(&self, path: &str) -> Answer {
        wait::until(
            &format!("200 at {path}"),
            CHANGE_MAX,
            async || match answer(self.request(Method::GET, path)).await {
                Ok(answer) if answer.status == StatusCode::OK => Ok(answer),
                other => Err(format!("{other:?}")),
            },
        )
        .await
    }
}

/// Sends a request and reads its answer.
pub async fn answer(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Panics unless the status is `status`.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}: {}", self.headers, self.text());
        self
    }
}
