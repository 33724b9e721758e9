//! What a driver made of the kernels, kept on disk from one run of a program to the next.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use super::GpuError;
use crate::files::{FileError, prepare_out_dir, write_atomic};

/// A driver's cache of pipelines, and the file that it comes from and goes to.
#[derive(Debug)]
pub(super) struct PipelineCache {
    pub cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl PipelineCache {
    /// The cache that was kept for an adapter in a folder, or an empty one. `None` where the device
    /// has no such thing: only Vulkan has.
    pub fn open(
        device: &wgpu::Device,
        adapter: &wgpu::AdapterInfo,
        folder: &Path,
    ) -> Result<Option<Self>, GpuError> {
        let name = wgpu::util::pipeline_cache_key(adapter);
        let Some(name) =
            name.filter(|_| device.features().contains(wgpu::Features::PIPELINE_CACHE))
        else {
            return Ok(None);
        };
        let path = folder.join(name);
        let data = match std::fs::read(&path) {
            Ok(bytes) => unsealed(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(FileError::Read { path, source }.into()),
        };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("l2rw"),
            data: data.as_deref(),
            // Of another driver or version: begins an empty one.
            fallback: true,
        };
        // SAFETY: the data come from `PipelineCache::get_data`, since the seal says that they are
        // what `keep` wrote, and wgpu compares device, driver and its own version.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Ok(Some(Self { cache, path }))
    }

    /// Writes what the driver has made so far. Returns the file.
    pub fn keep(&self) -> Result<Option<&Path>, GpuError> {
        let Some(data) = self.cache.get_data() else { return Ok(None) };
        if let Some(folder) = self.path.parent() {
            prepare_out_dir(folder)?;
        }
        write_atomic(&self.path, &sealed(data))?;
        Ok(Some(&self.path))
    }
}

/// Bytes of the seal.
const SEAL: usize = size_of::<u64>();

/// Drivers trust the data, so nothing but what was written may reach them.
fn seal(data: &[u8]) -> [u8; SEAL] {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish().to_le_bytes()
}

fn sealed(mut data: Vec<u8>) -> Vec<u8> {
    let seal = seal(&data);
    data.extend(seal);
    data
}

fn unsealed(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let len = bytes.len().checked_sub(SEAL)?;
    let found = bytes.split_off(len);
    (found == seal(&bytes)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Context;

    #[test]
    fn data_that_were_changed_or_cut_are_not_taken() {
        let data: Vec<u8> = (0..100).collect();
        let file = sealed(data.clone());
        assert_eq!(unsealed(file.clone()), Some(data));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 4;
            assert_eq!(unsealed(changed), None);
            assert_eq!(unsealed(file[..at].to_vec()), None);
        }
    }

    #[test]
    fn pipelines_are_kept_and_a_broken_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let context = Context::new(None).unwrap();
        let has = context.device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let first = context.clone().with_pipeline_cache(&folder).unwrap();
        let Some(path) = first.keep_pipelines().unwrap() else {
            assert!(!has);
            return;
        };
        let kept = std::fs::read(&path).unwrap();
        assert!(unsealed(kept).is_some());
        std::fs::write(&path, b"something else").unwrap();
        let second = Context::new(None).unwrap().with_pipeline_cache(&folder).unwrap();
        second.keep_pipelines().unwrap();
        assert!(unsealed(std::fs::read(&path).unwrap()).is_some());
    }
}
