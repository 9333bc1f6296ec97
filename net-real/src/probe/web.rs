//! GET from any server, over HTTP/1.1 or HTTP/2, with or without TLS. It follows no redirections, keeps nothing and unpacks
//! nothing.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use url::Url;

/// How long a body may be: a segment of a minute at 100 Mbit/s, and some.
const BODY_BYTES_MAX: usize = 1 << 30;

/// A client of everybody.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// An answer, whatever its status is.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The protocol that it came over.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as it was sent.
    pub body: Bytes,
    /// From the request to the last byte.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The body did not arrive.
    #[error("the answer broke off: {0}")]
    Body(String),
    /// The file with certificates cannot be used.
    #[error("{0}: {1}; name a PEM file with the certificates of those to be trusted")]
    Certificates(String, io::Error),
    /// The server cannot be reached, or does not speak HTTP.
    #[error("{0}")]
    Http(String),
    /// Nothing came.
    #[error("no answer within {} s", .0.as_secs())]
    Silence(Duration),
    /// This is not a URL that can be asked.
    #[error("{0} is not a URL that can be asked")]
    Url(String),
}

impl Web {
    /// A client that trusts whom the system trusts, or the certificates in a PEM file.
    ///
    /// # Errors
    ///
    /// If there is no such file, or nothing in it.
    pub fn new(certificates: Option<&str>) -> Result<Web, WebError> {
        let mut roots = RootCertStore::empty();
        match certificates {
            Some(path) => {
                let unusable = |error| WebError::Certificates(path.to_owned(), error);
                let pem = fs::read(path).map_err(unusable)?;
                let all = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
                if roots.add_parsable_certificates(all).0 == 0 {
                    return Err(unusable(io::Error::other("there is no certificate in it")));
                }
            }
            // A machine without any can still ask without TLS.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| WebError::Http(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut plain = HttpConnector::new();
        plain.set_nodelay(true);
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(CONNECT_WITHIN));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_all_versions();
        let client = Client::builder(TokioExecutor::new()).build(https.wrap_connector(plain));
        Ok(Web { client })
    }

    /// What a server has at `url`, if all of it comes within `patience`.
    ///
    /// # Errors
    ///
    /// If nothing whole comes.
    pub async fn get(&self, url: &Url, patience: Duration) -> Result<Answer, WebError> {
        self.ask(url, patience, None).await
    }

    /// The same, compressed if the server likes.
    ///
    /// # Errors
    ///
    /// If nothing whole comes.
    pub async fn get_gzip(&self, url: &Url, patience: Duration) -> Result<Answer, WebError> {
        self.ask(url, patience, Some(HeaderValue::from_static("gzip"))).await
    }

    async fn ask(
        &self,
        url: &Url,
        patience: Duration,
        encoding: Option<HeaderValue>,
    ) -> Result<Answer, WebError> {
        let mut request =
            Request::get(url.as_str()).body(Empty::new()).map_err(|_| WebError::Url(url.to_string()))?;
        if let Some(encoding) = encoding {
            request.headers_mut().insert(ACCEPT_ENCODING, encoding);
        }
        let began = Instant::now();
        let whole = async {
            let response =
                self.client.request(request).await.map_err(|error| WebError::Http(told(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
                let too_long = error.downcast_ref::<LengthLimitError>().is_some();
                WebError::Body(if too_long { "it is too long".to_owned() } else { told(&*error) })
            })?;
            let (body, took) = (body.to_bytes(), began.elapsed());
            Ok(Answer { status: head.status, version: head.version, headers: head.headers, body, took })
        };
        timeout(patience, whole).await.unwrap_or(Err(WebError::Silence(patience)))
    }
}

/// How long a server may take until it is connected to.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// An error with its causes, which hyper keeps to itself.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
