//! The adapter that a program runs on.

use anyhow::Result;
use l2rw::data::default_cache_dir;
use l2rw::gpu::Context;

use super::Devices;

/// Opens the fastest adapter, or one with `name` in its name, with the tuning that was measured for
/// it where there is one, and with the pipelines that were compiled before.
pub fn open_adapter(name: Option<String>) -> Result<Devices> {
    let cache = default_cache_dir()?;
    Devices::new(move || {
        let context = Context::new(name.as_deref())?.tuned_by(&cache);
        Ok(context.with_pipeline_cache(&cache)?)
    })
}
