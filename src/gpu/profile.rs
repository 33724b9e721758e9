//! Time of every dispatch by the device's own clock.

use super::{Context, Executable, GpuError, read_back};

/// Runs an executable once and returns the seconds that each of its dispatches took; `None` where
/// the device has no timestamps. Every dispatch gets a pass of its own, so the sum exceeds the time
/// of a normal run a little.
///
/// # Errors
/// When the device is lost.
pub fn profile(context: &Context, executable: &Executable) -> Result<Option<Vec<f64>>, GpuError> {
    if !context.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Ok(None);
    }
    let mut seconds = Vec::new();
    let count = executable.recording().dispatches.len();
    for first in (0..count).step_by(MAX_DISPATCHES) {
        seconds.extend(profile_range(
            context,
            executable,
            first..count.min(first + MAX_DISPATCHES),
        )?);
    }
    Ok(Some(seconds))
}

/// Half of WebGPU's limit on the queries of a set.
const MAX_DISPATCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

fn profile_range(
    context: &Context,
    executable: &Executable,
    range: std::ops::Range<usize>,
) -> Result<Vec<f64>, GpuError> {
    let queries = 2 * range.len() as u32;
    let set = context.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("l2rw profile"),
        ty: wgpu::QueryType::Timestamp,
        count: queries,
    });
    let resolved = context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("l2rw profile"),
        size: 8 * u64::from(queries),
        usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let mut encoder = context.device.create_command_encoder(&Default::default());
    for (slot, index) in (0u32..).zip(range) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &set,
                beginning_of_pass_write_index: Some(2 * slot),
                end_of_pass_write_index: Some(2 * slot + 1),
            }),
        });
        executable.encode_range(&mut pass, index..index + 1);
    }
    encoder.resolve_query_set(&set, 0..queries, &resolved, 0);
    context.submit(encoder);
    let words = read_back(context, &resolved, resolved.size())?;
    let ticks: Vec<u64> =
        words.chunks(2).map(|w| u64::from(w[0]) | (u64::from(w[1]) << 32)).collect();
    let seconds_per_tick = f64::from(context.queue.get_timestamp_period()) * 1e-9;
    Ok(ticks.chunks(2).map(|t| t[1].saturating_sub(t[0]) as f64 * seconds_per_tick).collect())
}
