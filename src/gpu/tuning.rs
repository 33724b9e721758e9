//! How kernels are written where adapters differ: what suits which, and what was measured.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Context, GpuError, Matrices};
use crate::files::{prepare_out_dir, write_atomic};

/// How kernels are written where adapters differ. Results agree to rounding; which choice is
/// faster depends on the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// A convolution with its tangent is composed of three plain ones instead of one kernel that
    /// loads every input and weight once. Kernels wider than 3 are composed all the same.
    pub composed_dual: bool,
    /// Convolution weights of up to 64 KiB are read through uniform instead of storage bindings.
    pub uniform_weights: bool,
    /// Four floats are read and written as two 64-bit integers, which the device must offer
    /// (`SHADER_INT64`).
    pub wide_loads: bool,
    /// The 8 invocations of a subgroup load the weights of a convolution, and both factors of a
    /// weight gradient, for each other. The device must offer subgroups (`SUBGROUP`) of always 8
    /// invocations, by another interface than DirectX 12.
    pub shared_loads: bool,
    /// An invocation of a convolution, and of a weight gradient, computes two blocks of channels
    /// instead of one where their number is even; of filters wider than 3, which have one in
    /// either case, a weight gradient takes four pixels at a time instead of two.
    pub two_blocks: bool,
    /// Convolutions that are not staged read their sizes from a binding, so that compilers cannot
    /// follow a loop to its end, and layers of other sizes may share a pipeline.
    #[serde(default)]
    pub bound_sizes: bool,
    /// Invocations over which long sums are split.
    pub split_invocations: usize,
    /// Positions of an image that one invocation of a reduction takes.
    pub chunk: usize,
    /// The invocations of a workgroup, through its memory, rather than each for itself reduce a
    /// chunk of positions, and combine the parts of all chunks.
    pub trees: bool,
    /// Which convolutions and matrix products stage their factors through workgroup memory, if any.
    /// It takes 256 invocations and 16 KiB of memory a workgroup, WebGPU's default limits.
    pub staging: Option<Staging>,
}

/// From which sizes on kernels stage their factors through workgroup memory, and how. Sizes whose
/// rows in memory do not come by fours are never staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staging {
    /// Least number of input and of output channels of a convolution.
    pub channels: usize,
    /// Least number of rows, of columns and of terms of a matrix product.
    pub product: usize,
    /// Workgroups compute 128 instead of 64 columns where the columns fill them.
    pub wide_tiles: bool,
    /// Workgroups that keep the adapter busy: long sums are split over as many, and tiles are small
    /// where large ones would be fewer than half as many.
    pub workgroups: usize,
    /// The adapter's matrices, which multiply what is staged; nothing else sets them than the
    /// caller ([`Matrices::of`]). `None`: every invocation multiplies by itself.
    pub matrices: Option<Matrices>,
    /// What factors are rounded to where that touches no similarity; never chosen by itself.
    #[serde(default)]
    pub precision: Precision,
}

/// How factors of staged products are kept in workgroup memory. Sums, and all that lies in storage,
/// are 32-bit numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to 11 binary digits, in half the memory, in the backward pass whose results only the
    /// optimizer sees: of the training batch's weighted loss. Its input and weight gradients of
    /// staged convolutions are rounded; forward passes, tangents, G and inner products never are.
    /// The device must offer `SHADER_F16`. Infinite where an output gradient exceeds 15.9 or
    /// another factor 65,504; relative precision is lost below 1.5e-8 and 6.1e-5.
    F16,
}

impl Staging {
    fn is_offered(&self, device: &wgpu::Device) -> bool {
        let rounds = self.precision == Precision::F16;
        can_stage(device)
            && self.matrices.is_none_or(|matrices| matrices.is_offered(device))
            && (!rounds || device.features().contains(wgpu::Features::SHADER_F16))
    }
}

impl Tuning {
    /// What suits a GPU.
    pub const GPU: Self = Self {
        composed_dual: false,
        uniform_weights: false,
        wide_loads: false,
        shared_loads: false,
        two_blocks: false,
        bound_sizes: false,
        split_invocations: 32768,
        chunk: 32,
        trees: true,
        staging: Some(Staging {
            channels: 64,
            product: 128,
            wide_tiles: true,
            workgroups: 512,
            matrices: None,
            precision: Precision::F32,
        }),
    };

    /// What suits an adapter that computes on the CPU: it loads element by element and invocation
    /// by invocation.
    pub const SOFTWARE: Self = Self {
        composed_dual: true,
        uniform_weights: true,
        wide_loads: true,
        shared_loads: true,
        two_blocks: true,
        bound_sizes: false,
        split_invocations: 1024,
        chunk: 256,
        trees: false,
        staging: None,
    };

    /// The context's: what suits its adapter unless told otherwise ([`Context::with_tuning`]).
    pub fn of(context: &Context) -> Self {
        context.tuning()
    }

    /// What suits an adapter, with what its device offers.
    pub(super) fn suited(
        is_software: bool,
        device: &wgpu::Device,
        adapter: &wgpu::AdapterInfo,
    ) -> Self {
        if is_software {
            return Self {
                wide_loads: has_wide_loads(device),
                shared_loads: can_share(device, adapter),
                ..Self::SOFTWARE
            };
        }
        if is_fxc(device.features(), adapter) {
            log::info!(
                "{}: kernels that stage products in workgroup memory are left out: DirectX's older \
                 compiler takes minutes for one. Put dxcompiler.dll (DXC) beside the program, and \
                 ask a device of its own for subgroups, to have them",
                adapter.name
            );
            return Self { staging: None, bound_sizes: true, ..Self::GPU };
        }
        Self { staging: Self::GPU.staging.filter(|_| can_stage(device)), ..Self::GPU }
    }

    /// Whether the context's device can run it.
    pub fn is_offered(&self, context: &Context) -> bool {
        (!self.wide_loads || has_wide_loads(&context.device))
            && (!self.shared_loads || can_share(&context.device, &context.adapter))
            && self.staging.is_none_or(|staging| staging.is_offered(&context.device))
    }

    /// The same without factors that are rounded.
    pub(super) fn exact(self) -> Self {
        let exact = |staging| Staging { precision: Precision::F32, ..staging };
        Self { staging: self.staging.map(exact), ..self }
    }

    /// The tuning that was measured on the context's adapter and [kept](Self::keep) in a folder.
    ///
    /// # Errors
    /// [`GpuError::TuningFile`] when the file cannot be read or is not one, was measured with
    /// another driver, or asks for what the device does not offer.
    pub fn find(folder: &Path, context: &Context) -> Result<Option<Self>, GpuError> {
        let path = folder.join(file_name(context));
        let fail = |reason: String| GpuError::TuningFile { path: path.clone(), reason };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error.to_string())),
        };
        let file: File = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        let adapter = context.describe();
        if file.adapter != adapter {
            let found = file.adapter;
            let reason = format!("measured on {found}, but this is {adapter}: tune again");
            return Err(fail(reason));
        }
        let sizes = [file.tuning.split_invocations, file.tuning.chunk];
        if sizes.contains(&0) || !file.tuning.is_offered(context) {
            return Err(fail("holds what this device cannot run: tune again".into()));
        }
        Ok(Some(file.tuning))
    }

    /// Keeps a tuning for the context's adapter in a folder, which is made if need be, for
    /// [`find`](Self::find). Returns the file.
    ///
    /// # Errors
    /// [`GpuError::File`] when the file cannot be written.
    pub fn keep(&self, folder: &Path, context: &Context) -> Result<PathBuf, GpuError> {
        let path = folder.join(file_name(context));
        let file = File { adapter: context.describe(), tuning: *self };
        let fail = |reason: String| GpuError::TuningFile { path: path.clone(), reason };
        let text = serde_json::to_string_pretty(&file).map_err(|error| fail(error.to_string()))?;
        prepare_out_dir(folder)?;
        write_atomic(&path, (text + "\n").as_bytes())?;
        Ok(path)
    }
}

fn has_wide_loads(device: &wgpu::Device) -> bool {
    device.features().contains(wgpu::Features::SHADER_INT64)
}

fn can_share(device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> bool {
    // naga's HLSL has subgroup builtins as parameters only, not as members of a struct.
    adapter.backend != wgpu::Backend::Dx12
        && device.features().contains(wgpu::Features::SUBGROUP)
        && (adapter.subgroup_min_size, adapter.subgroup_max_size) == (8, 8)
}

fn can_stage(device: &wgpu::Device) -> bool {
    let limits = device.limits();
    limits.max_compute_invocations_per_workgroup >= 256
        && limits.max_compute_workgroup_size_x >= 256
        && limits.max_compute_workgroup_storage_size >= 16 << 10
}

/// Whether DirectX 12 compiles with FXC, for which wgpu offers no subgroups: those need DXC.
fn is_fxc(features: wgpu::Features, adapter: &wgpu::AdapterInfo) -> bool {
    adapter.backend == wgpu::Backend::Dx12 && !features.contains(wgpu::Features::SUBGROUP)
}

/// One file an adapter.
fn file_name(context: &Context) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = context.adapter.name.chars().map(plain).collect();
    format!("tuning-{name}-{}.json", context.adapter.backend)
}

/// A tuning with the adapter and driver that it was measured on.
#[derive(Serialize, Deserialize)]
struct File {
    adapter: String,
    tuning: Tuning,
}

impl Default for Tuning {
    fn default() -> Self {
        Self::GPU
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context::new(None).expect("an adapter")
    }

    #[test]
    fn the_older_compiler_of_directx_is_known_by_what_it_lacks() {
        let adapter = |backend| wgpu::AdapterInfo { backend, ..context().adapter };
        let (none, subgroups) = (wgpu::Features::empty(), wgpu::Features::SUBGROUP);
        assert!(is_fxc(none, &adapter(wgpu::Backend::Dx12)));
        assert!(!is_fxc(subgroups, &adapter(wgpu::Backend::Dx12)));
        assert!(!is_fxc(none, &adapter(wgpu::Backend::Vulkan)));
    }

    #[test]
    fn devices_of_directx_share_no_loads() {
        let context = context();
        let adapter = |backend| wgpu::AdapterInfo {
            backend,
            subgroup_min_size: 8,
            subgroup_max_size: 8,
            ..context.adapter.clone()
        };
        let has_subgroups = context.device.features().contains(wgpu::Features::SUBGROUP);
        assert_eq!(can_share(&context.device, &adapter(wgpu::Backend::Vulkan)), has_subgroups);
        assert!(!can_share(&context.device, &adapter(wgpu::Backend::Dx12)));
    }

    #[test]
    fn a_tuning_is_found_as_it_was_kept_and_refused_where_it_does_not_belong() {
        let (folder, context) = (tempfile::tempdir().unwrap(), context());
        let folder = folder.path().join("cache");
        assert_eq!(Tuning::find(&folder, &context).unwrap(), None);
        let tuning = Tuning { chunk: 77, two_blocks: true, ..Tuning::GPU };
        let path = tuning.keep(&folder, &context).unwrap();
        assert_eq!(Tuning::find(&folder, &context).unwrap(), Some(tuning));

        let text = std::fs::read_to_string(&path).unwrap();
        let refusal = |text: String| {
            std::fs::write(&path, text).unwrap();
            Tuning::find(&folder, &context).unwrap_err().to_string()
        };
        let adapter = format!("{:?}", context.describe());
        assert!(refusal(text.replace(&adapter, "\"an older driver's\"")).contains("tune again"));
        assert!(refusal(text.replace("77", "0")).contains("cannot run"));
        assert!(refusal(text.replace("chunk", "chunks")).contains("chunks"));
        // The device was not made with matrices.
        let matrices = r#"{ "subgroup_size": 8, "full": true, "half": null }"#;
        let with_matrices =
            text.replace(r#""matrices": null"#, &format!(r#""matrices": {matrices}"#));
        assert_ne!(with_matrices, text);
        assert!(refusal(with_matrices).contains("cannot run"));
    }
}
