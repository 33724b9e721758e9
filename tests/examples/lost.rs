//! What the examples do where a device is lost. No program can be told to lose its device from
//! outside, so this calls what they share.

use std::cell::Cell;

use anyhow::{Result, bail};
use l2rw::gpu::{Context, GpuError, ShaderChecks, read_back};
use l2rw::train::TrainError;

use super::devices::Devices;

fn open() -> Result<Context> {
    Ok(pollster::block_on(Context::new_async(None, ShaderChecks::Trusted))?)
}

/// Something that needs the device to answer.
fn work(context: &Context) -> Result<u32, TrainError> {
    let content = 7u32.to_le_bytes();
    let upload = context.upload("number", &content, wgpu::BufferUsages::STORAGE);
    Ok(read_back(context, &pollster::block_on(upload)?, 4)?[0])
}

#[test]
fn work_is_done_again_on_another_device() {
    let devices = Devices::new(None, open).unwrap();
    let runs = Cell::new(0);
    let answer = devices.with(|context| {
        runs.set(runs.get() + 1);
        if runs.get() < 3 {
            context.device.destroy();
        }
        Ok(work(context)?)
    });
    assert_eq!((answer.unwrap(), runs.get()), (7, 3));
    assert_eq!(work(&devices.context()).unwrap(), 7);
}

#[test]
fn it_ends_where_every_device_is_lost_and_for_any_other_reason() {
    let devices = Devices::new(None, open).unwrap();
    let runs = Cell::new(0);
    let lost = devices.with(|context| {
        runs.set(runs.get() + 1);
        context.device.destroy();
        Ok(work(context)?)
    });
    let error = lost.unwrap_err();
    let lost = matches!(error.downcast_ref(), Some(TrainError::Gpu(GpuError::DeviceLost { .. })));
    assert!(lost && runs.get() == 4, "{error:#} after {} runs", runs.get());
    runs.set(0);
    let failed: Result<()> = devices.with(|_| {
        runs.set(runs.get() + 1);
        bail!("the disk is full")
    });
    assert_eq!((failed.unwrap_err().to_string().as_str(), runs.get()), ("the disk is full", 1));
}
