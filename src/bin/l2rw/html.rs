//! Pages that are one file: data and pictures stand in them.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// The page with `content` as JSON in its place.
pub fn page(template: &str, content: &impl Serialize) -> Result<String> {
    // A name must not end the element that it stands in.
    let json = serde_json::to_string(content)?.replace('<', "\\u003c");
    Ok(template.replacen("{{DATA}}", &json, 1))
}

/// An encoded picture of that kind, `png` or `jpeg`, as an address.
pub fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}
