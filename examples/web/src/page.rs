//! What JavaScript sees. Results are JSON.

use l2rw::gpu::{Context, ShaderChecks};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::{Failure, Pictures, SIDE, Session, run_fixture};

fn error(failure: impl Into<Failure>) -> JsError {
    JsError::new(&failure.into().to_string())
}

fn json(value: &impl Serialize) -> Result<String, JsError> {
    serde_json::to_string(value).map_err(error)
}

/// The device.
#[wasm_bindgen]
pub struct Gpu(Context);

/// Opens the browser's adapter.
#[wasm_bindgen]
pub async fn open() -> Result<Gpu, JsError> {
    Context::new_async(None, ShaderChecks::Trusted).await.map(Gpu).map_err(error)
}

/// Height and width of a picture.
#[wasm_bindgen]
pub fn side() -> usize {
    SIDE
}

/// u and w of the fixed step that the test compares.
#[wasm_bindgen]
pub async fn fixture(gpu: &Gpu) -> Result<String, JsError> {
    json(&run_fixture(&gpu.0).await.map_err(error)?)
}

/// Pictures to train on.
#[wasm_bindgen]
pub struct Album(Pictures);

#[wasm_bindgen]
impl Album {
    /// Drawn shapes.
    pub fn drawn(seed: u32) -> Album {
        Album(Pictures::drawn(seed.into()))
    }

    /// The visitor's own; class names separated by line breaks.
    pub fn own(names: &str, images: Vec<u8>, labels: Vec<u32>) -> Result<Album, JsError> {
        let names = names.lines().map(str::to_owned).collect();
        Pictures::own(names, images, labels).map(Album).map_err(error)
    }
}

/// Two trainings.
#[wasm_bindgen]
pub struct Run(Session);

#[wasm_bindgen]
impl Run {
    /// Prepares both.
    pub async fn start(
        gpu: &Gpu,
        album: &Album,
        per_class: usize,
        noise: f64,
        seed: u32,
    ) -> Result<Run, JsError> {
        Session::new(&gpu.0, &album.0, per_class, noise, seed).await.map(Run).map_err(error)
    }

    /// Takes so many steps of each.
    pub async fn steps(&mut self, count: usize) -> Result<(), JsError> {
        self.0.steps(count).await.map_err(error)
    }

    /// Tests both.
    pub async fn progress(&mut self) -> Result<String, JsError> {
        json(&self.0.progress().await.map_err(error)?)
    }

    /// The most doubtful labels.
    pub fn suspects(&self, most: usize) -> Result<String, JsError> {
        json(&self.0.suspects(most))
    }

    /// A training picture.
    pub fn image(&self, index: usize) -> Vec<u8> {
        self.0.image(index).to_vec()
    }

    /// Names of the classes.
    pub fn classes(&self) -> Vec<String> {
        self.0.classes().to_vec()
    }
}
