//! The pipelines of a device: each WGSL text is parsed once, each kernel compiled once, on all
//! cores.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::pipeline_cache::PipelineCache;
use super::{Access, Dispatch, GpuError, Kernel, ShaderChecks};

/// What tells pipelines apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    kernel: Kernel,
    /// How each binding is used.
    accesses: Vec<Access>,
    checks: ShaderChecks,
}

impl Key {
    /// That of a dispatch; `checks` is for what is trusted.
    fn of(dispatch: &Dispatch, checks: ShaderChecks) -> Self {
        let accesses = dispatch.bindings.iter().map(|binding| match binding.access {
            // One layout serves both: the API knows no write-only buffers.
            Access::Write => Access::ReadWrite,
            other => other,
        });
        let checks = if dispatch.trusted { checks } else { ShaderChecks::Checked };
        Self { kernel: dispatch.kernel.clone(), accesses: accesses.collect(), checks }
    }

    /// Text and checks of its shader.
    fn module(&self) -> (String, ShaderChecks) {
        (self.kernel.source(), self.checks)
    }
}

/// A pipeline with the layout of its one bind group.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// All modules and pipelines made so far.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    modules: Mutex<HashMap<(String, ShaderChecks), wgpu::ShaderModule>>,
    made: Mutex<HashMap<Key, Pipeline>>,
    /// The driver's own, where the program asked for it to be kept.
    kept: OnceLock<PipelineCache>,
}

impl Pipelines {
    /// Shader modules and pipelines made so far.
    pub fn counts(&self) -> (usize, usize) {
        (held(&self.modules).len(), held(&self.made).len())
    }

    /// Makes pipelines through a driver's cache from now on; the first one stays.
    pub fn keep_in(&self, cache: PipelineCache) {
        // A second cache would hold part of the pipelines only.
        let _ = self.kept.set(cache);
    }

    /// The driver's cache, where there is one.
    pub fn kept(&self) -> Option<&PipelineCache> {
        self.kept.get()
    }

    /// The pipeline of a dispatch that was [prepared](Self::prepare).
    pub fn get(&self, dispatch: &Dispatch, checks: ShaderChecks) -> Result<Pipeline, GpuError> {
        let key = Key::of(dispatch, checks);
        let made = held(&self.made).get(&key).cloned();
        made.ok_or_else(|| refused(&key.kernel, "it was not prepared".into()))
    }

    /// Makes the pipelines of all dispatches that do not exist yet, with `checks` where they are
    /// trusted.
    pub async fn prepare<'a>(
        &self,
        device: &wgpu::Device,
        checks: ShaderChecks,
        dispatches: impl Iterator<Item = &'a Dispatch>,
    ) -> Result<(), GpuError> {
        let missing: Vec<Key> = {
            let (made, mut seen) = (held(&self.made), HashSet::new());
            let keys = dispatches.map(|dispatch| Key::of(dispatch, checks));
            keys.filter(|key| !made.contains_key(key) && seen.insert(key.clone())).collect()
        };
        let sources: Vec<(&Kernel, (String, ShaderChecks))> = {
            let (made, mut seen) = (held(&self.modules), HashSet::new());
            let sources = missing.iter().map(|key| (&key.kernel, key.module()));
            sources.filter(|(_, s)| !made.contains_key(s) && seen.insert(s.clone())).collect()
        };
        for_each(&sources, |source| self.make_module(device, source)).await?;
        for_each(&missing, |key| self.make(device, key)).await
    }

    async fn make_module(
        &self,
        device: &wgpu::Device,
        (kernel, module): &(&Kernel, (String, ShaderChecks)),
    ) -> Result<(), GpuError> {
        let (source, checks) = module;
        let made = scoped(device, kernel, || {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(kernel.shader.name),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            };
            match checks {
                ShaderChecks::Checked => device.create_shader_module(descriptor),
                // SAFETY: only the crate's own texts, called by the crate, and what an unsafe call
                // vouches for come here. The former index within their bindings and their loops
                // end; the tests run every one of them with the checks on as well and compare with
                // the CPU twin.
                ShaderChecks::Trusted => unsafe {
                    device.create_shader_module_trusted(
                        descriptor,
                        wgpu::ShaderRuntimeChecks::unchecked(),
                    )
                },
            }
        });
        let made = made.await?;
        held(&self.modules).insert(module.clone(), made);
        Ok(())
    }

    async fn make(&self, device: &wgpu::Device, key: &Key) -> Result<(), GpuError> {
        let Key { kernel, accesses, checks } = key;
        let module = held(&self.modules).get(&key.module()).cloned();
        let module = module.ok_or_else(|| refused(kernel, "it has no module".into()))?;
        let label = kernel.to_string();
        let pipeline = scoped(device, kernel, || {
            let entries: Vec<_> = (0u32..).zip(accesses).map(layout_entry).collect();
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(&label),
                entries: &entries,
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &kernel.constants,
                    zero_initialize_workgroup_memory: *checks == ShaderChecks::Checked,
                },
                cache: self.kept.get().map(|kept| &kept.cache),
            });
            Pipeline { pipeline, layout }
        });
        let pipeline = pipeline.await?;
        held(&self.made).insert(key.clone(), pipeline);
        Ok(())
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(kernel: &Kernel, reason: String) -> GpuError {
    GpuError::Pipeline { kernel: kernel.variant(), origin: kernel.origin(), reason }
}

/// Runs something that makes objects of a device, and turns what wgpu or the driver says against it
/// into an error: compilers of drivers report theirs as internal ones.
async fn scoped<T>(
    device: &wgpu::Device,
    kernel: &Kernel,
    make: impl FnOnce() -> T,
) -> Result<T, GpuError> {
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    let errors = [validation.pop().await, internal.pop().await];
    match errors.into_iter().flatten().next() {
        Some(error) => Err(refused(kernel, error.to_string())),
        None => Ok(made),
    }
}

/// One after the other: browsers have one thread, and compile behind the page's back.
#[cfg(target_arch = "wasm32")]
async fn for_each<'a, T, F: Future<Output = Result<(), GpuError>>>(
    items: &'a [T],
    make: impl Fn(&'a T) -> F,
) -> Result<(), GpuError> {
    for item in items {
        make(item).await?;
    }
    Ok(())
}

/// On all cores, each taking the next one when it is done, since some take far longer than others.
#[cfg(not(target_arch = "wasm32"))]
async fn for_each<'a, T: Sync, F: Future<Output = Result<(), GpuError>>>(
    items: &'a [T],
    make: impl Fn(&'a T) -> F + Sync,
) -> Result<(), GpuError> {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Outside browsers an error scope answers at once.
            pollster::block_on(make(item))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(items.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| {
                Err(GpuError::Pipeline {
                    kernel: "?".into(),
                    origin: "files of which no more is known".into(),
                    reason: "the thread that compiled it panicked".into(),
                })
            })
        })
    })
}

fn layout_entry((binding, access): (u32, &Access)) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write | Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Part, Recorder, Shader};

    #[test]
    fn only_the_crates_own_texts_called_by_the_crate_go_without_checks() {
        let own = Shader::joined("own", [Part::own("a", "", None)]);
        let foreign = Shader::joined("foreign", [Part::own("a", "", None), Part::new("b", "")]);
        // SAFETY: nothing is compiled.
        let vouched = unsafe { foreign.clone().trusted() };
        let checks = |shader: &Shader, caller_is_crate: bool| {
            let mut rec = Recorder::new();
            rec.trust(caller_is_crate);
            rec.dispatch(Kernel::new(shader, "main"), Vec::new(), [1; 3], 0);
            let recording = rec.finish().unwrap();
            Key::of(&recording.dispatches[0], ShaderChecks::Trusted).checks
        };
        assert_eq!(checks(&own, true), ShaderChecks::Trusted);
        assert_eq!(checks(&vouched, true), ShaderChecks::Trusted);
        assert_eq!(checks(&own, false), ShaderChecks::Checked);
        assert_eq!(checks(&foreign, true), ShaderChecks::Checked);
        // Unless an unsafe call vouches for it, a recording is nobody's.
        let mut rec = Recorder::new();
        rec.trust(true);
        rec.dispatch(Kernel::new(&own, "main"), Vec::new(), [1; 3], 0);
        let mut recording = rec.finish().unwrap();
        recording.trust(false);
        let key = Key::of(&recording.dispatches[0], ShaderChecks::Trusted);
        assert_eq!(key.checks, ShaderChecks::Checked);
    }
}
