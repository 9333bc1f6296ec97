//! x
use anyhow::Result;
pub fn relay(_: &[&str]) -> Result<()> {
    Ok(())
}
