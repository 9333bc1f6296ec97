//! Certificates that sign themselves, for servers of tests.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::generate_simple_self_signed;

/// A certificate and its key, in PEM.
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    /// A new one for `name`, which may be an address.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn issue(name: &str) -> Result<Certificate> {
        let issued = generate_simple_self_signed(vec![name.to_owned()])?;
        Ok(Certificate { certificate: issued.cert.pem(), key: issued.signing_key.serialize_pem() })
    }

    /// Writes `<name>.crt` and `<name>.key` into `dir`.
    ///
    /// # Errors
    ///
    /// If that cannot be written.
    pub fn write(&self, dir: &Path, name: &str) -> Result<()> {
        fs::write(dir.join(format!("{name}.crt")), &self.certificate)?;
        fs::write(dir.join(format!("{name}.key")), &self.key)?;
        Ok(())
    }
}
