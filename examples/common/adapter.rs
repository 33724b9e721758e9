//! The adapter that a program runs on.

use anyhow::Result;
use l2rw::data::default_cache_dir;
use l2rw::gpu::Context;

use super::{Devices, Team};

/// Opens the fastest adapter, or one with `name` in its name, with the tuning that was measured for
/// it where there is one, and with the pipelines that were compiled before. Ranks on the same
/// machine take one after the other of its adapters.
pub fn open_adapter(name: Option<String>, team: &Team) -> Result<Devices> {
    let cache = default_cache_dir()?;
    let local_rank = team.local_rank();
    Devices::new(local_rank, move || {
        let context = match local_rank {
            Some(number) => Context::numbered(name.as_deref(), number)?,
            None => Context::new(name.as_deref())?,
        };
        let context = context.tuned_by(&cache);
        Ok(context.with_pipeline_cache(&cache)?)
    })
}
