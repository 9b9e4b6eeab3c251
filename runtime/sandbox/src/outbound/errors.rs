//! What goes wrong on the way out, in the words of `wasi:http`.

use rustls::Error as TlsError;
use std::error::Error as StdError;
use std::io;
use tokio_rustls::rustls;
use wasmtime_wasi_http::Error;

/// A connection that could not be made.
pub(super) fn of_connect(error: io::Error) -> Error {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::TimedOut => Error::ConnectionTimeout,
        ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        ErrorKind::HostUnreachable => Error::DestinationUnavailable,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof => {
            Error::ConnectionTerminated
        }
        _ if is_out_of_descriptors(&error) => Error::ConnectionLimitReached,
        _ => Error::InternalError(None),
    }
}

/// A name without an address. The system's resolver does not tell why.
pub(super) fn of_name() -> Error {
    Error::DnsError {
        rcode: Some("address not available".into()),
        info_code: None,
    }
}

/// A TLS handshake that failed.
pub(super) fn of_tls(error: io::Error) -> Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>())
    {
        Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(TlsError::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None => of_connect(error),
    }
}

/// A request that got no head of an answer.
pub(super) fn of_hyper(error: hyper::Error) -> Error {
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Error::ConnectionTerminated
    } else if let Some(cause) = cause_of::<Error>(&error) {
        match cause {
            Error::HttpRequestBodySize(size) => Error::HttpRequestBodySize(*size),
            // The guest gave its own body up, and looks into the causes for what it said.
            _ => Error::Hyper(error),
        }
    } else if cause_of::<io::Error>(&error).is_some() {
        Error::ConnectionTerminated
    } else {
        Error::HttpProtocolError
    }
}

/// An answer's body that broke off.
pub(super) fn of_hyper_body(error: hyper::Error) -> Error {
    match of_hyper(error) {
        Error::ConnectionTerminated => Error::HttpResponseIncomplete,
        error => error,
    }
}

fn cause_of<E: StdError + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    // EMFILE and ENFILE: this process's, and the machine's.
    matches!(error.raw_os_error(), Some(23 | 24))
}
