//! The files of one certificate: read, understood, and what there is to say about them.

use std::fs::File;
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_core::config::{Diagnostic, HostPattern, Kind, NamedFile, Severity, Tls};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What the files of a certificate held at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    chain: Option<Vec<u8>>,
}

impl Files {
    /// Reads them all.
    pub(super) fn read(tls: &Tls) -> Result<Files, Diagnostic> {
        Ok(Files {
            certificate: read(&tls.certificate)?,
            key: read(&tls.key)?,
            chain: tls.chain.as_ref().map(read).transpose()?,
        })
    }
}

/// What a client can be shown, made of these files.
pub(super) fn certified(tls: &Tls, files: &Files) -> Result<CertifiedKey, Diagnostic> {
    let mut chain = certificates(&tls.certificate, &files.certificate)?;
    if let (Some(file), Some(bytes)) = (&tls.chain, &files.chain) {
        for certificate in certificates(file, bytes)? {
            // Many a chain file begins with the certificate itself.
            if !chain.contains(&certificate) {
                chain.push(certificate);
            }
        }
    }
    let key = private_key(&tls.key, &files.key)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => wrong(
            &tls.key,
            format!("{} is not the key of the certificate in {}.", tls.key.path, tls.certificate.path),
            "Write the key that the certificate was made for; where a file holds several certificates, its own comes first.",
        ),
        Error::InvalidCertificate(why) => wrong(
            &tls.certificate,
            format!("{} holds a certificate that cannot be used: {why:?}.", tls.certificate.path),
            "Have it issued again, as an X.509 certificate of version 3.",
        ),
        other => wrong(
            &tls.key,
            format!("{} holds a key that cannot be used: {other}.", tls.key.path),
            "Use RSA with 2048 to 8192 bits, ECDSA with P-256 or P-384, or Ed25519.",
        ),
    })
}

/// What clients may not like about a certificate that works.
pub(super) fn remarks(certified: &CertifiedKey, tls: &Tls, names: &[HostPattern]) -> Vec<Diagnostic> {
    let Some(own) = certified.cert.first() else { return Vec::new() };
    let path = &tls.certificate.path;
    let say = |reason: String, remedy: &str| {
        tls.certificate.at.diagnostic(Severity::Warning, Kind::File, reason, remedy)
    };
    let mut remarks = Vec::new();
    if let Ok((_, parsed)) = X509Certificate::from_der(own) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        if validity.not_after.timestamp() < now {
            let reason = format!("The certificate in {path} ended on {}.", validity.not_after);
            remarks.push(say(reason, "Clients refuse it; renew it."));
        } else if validity.not_after.timestamp() < now + SOON {
            let reason = format!("The certificate in {path} ends on {}.", validity.not_after);
            remarks.push(say(reason, "Renew it; the file is read again while the server runs."));
        }
        if validity.not_before.timestamp() > now {
            let reason = format!("The certificate in {path} begins on {}.", validity.not_before);
            remarks.push(say(reason, "Clients refuse it until then; look at this machine's clock as well."));
        }
    }
    let Ok(parsed) = ParsedCertificate::try_from(own) else { return remarks };
    for HostPattern(name) in names {
        let Ok(server) = ServerName::try_from(name.as_str()) else { continue };
        if verify_server_name(&parsed, &server).is_err() {
            let reason =
                format!("The certificate in {path} is not for `{name}`, which is a name of this host.");
            remarks.push(say(reason, "Clients refuse it there; have one issued for every name."));
        }
    }
    remarks
}

/// A certificate that ends within two weeks should have been renewed: in seconds.
const SOON: i64 = 14 * 24 * 3600;

/// The largest file that is read; a long chain has some 10 KiB.
const BYTES_MAX: u64 = 1 << 20;

fn certificates(file: &NamedFile, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Diagnostic> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| {
        let reason = format!("{} is damaged: {error}.", file.path);
        wrong(file, reason, "Write the file of a certificate in PEM.")
    })?;
    if found.is_empty() {
        let reason = format!("{} holds no certificate in PEM.", file.path);
        let remedy =
            "It would begin with -----BEGIN CERTIFICATE-----; convert DER with `openssl x509 -inform der`.";
        return Err(wrong(file, reason, remedy));
    }
    Ok(found)
}

fn private_key(file: &NamedFile, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Diagnostic> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let is_encrypted = pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED);
        let (what, remedy) = match error {
            _ if is_encrypted => (
                "holds a key with a pass phrase.".to_owned(),
                "Nobody is there to type it in; remove it with `openssl pkey -in KEY -out PLAIN`.",
            ),
            pem::Error::NoItemsFound => (
                "holds no private key in PEM.".to_owned(),
                "It would begin with -----BEGIN PRIVATE KEY-----; maybe <CertPath> and <KeyPath> are swapped.",
            ),
            other => (format!("is damaged: {other}."), "Write the file of a private key in PEM."),
        };
        wrong(file, format!("{} {what}", file.path), remedy)
    })
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn read(file: &NamedFile) -> Result<Vec<u8>, Diagnostic> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(&file.path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let (why, remedy) = match read() {
        Ok(bytes) if bytes.len() as u64 <= BYTES_MAX => return Ok(bytes),
        Ok(_) => ("is larger than 1 MiB".to_owned(), "Write the file of a certificate or key in PEM."),
        Err(error) => say(&error),
    };
    Err(wrong(file, format!("{} {why}.", file.path), remedy))
}

fn say(error: &io::Error) -> (String, &'static str) {
    match error.kind() {
        io::ErrorKind::NotFound => (
            "does not exist".to_owned(),
            "Correct the path; one that does not begin with / is beside the configuration file.",
        ),
        io::ErrorKind::PermissionDenied => {
            ("may not be read by this user".to_owned(), "Give the user of the server the right to read it.")
        }
        _ => (format!("cannot be read: {error}"), "Correct the path."),
    }
}

fn wrong(file: &NamedFile, reason: impl Into<String>, remedy: &str) -> Diagnostic {
    file.at.diagnostic(Severity::Error, Kind::File, reason, remedy)
}
