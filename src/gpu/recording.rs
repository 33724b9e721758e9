//! A computation as plain data: tensors and dispatches, no device in sight.

use std::fmt;

use super::{GpuError, Kernel};

/// Index of a tensor within its [`Recording`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// What the four bytes of an element mean; only for printing and for the host's copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE 754 single precision.
    F32,
    /// Unsigned 32-bit integer; also four packed bytes.
    U32,
}

/// Who owns the memory of a tensor, and for how long its content matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Supplied by the caller; outlives the recording.
    External,
    /// Small, constant during one run, written by the host: a uniform buffer of the caller.
    ExternalUniform,
    /// Small, never changes, part of the recording ([`Recording::constants`]): a uniform buffer.
    Constant,
    /// Lives from its first write to its last read; its memory is reused.
    Transient,
    /// Transient in origin, but readable after the run: its memory is not reused.
    Output,
}

/// A flat array of 4-byte elements.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name for people: errors, printed plans, debuggers.
    pub label: String,
    /// Number of elements.
    pub len: usize,
    /// Meaning of the elements.
    pub element: ElementType,
    /// Owner and extent.
    pub lifetime: Lifetime,
}

impl Tensor {
    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        4 * self.len as u64
    }

    /// Whether the caller supplies its buffer.
    pub fn is_external(&self) -> bool {
        matches!(self.lifetime, Lifetime::External | Lifetime::ExternalUniform)
    }
}

/// How a dispatch uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`, every element of the range overwritten, none read first.
    Write,
    /// `var<storage, read_write>`, old content matters.
    ReadWrite,
    /// `var<uniform>`
    Uniform,
}

/// A range of a tensor at one `@binding` of a dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The tensor.
    pub tensor: TensorId,
    /// First element; a multiple of 64, since bindings are aligned to 256 bytes.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// How it is used.
    pub access: Access,
}

/// One kernel run over a grid of workgroups.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Phase of the computation, for printed plans and timings.
    pub stage: &'static str,
    /// What it is for, e.g. the layer.
    pub label: String,
    /// What runs.
    pub kernel: Kernel,
    /// `@group(0) @binding(i)` for each i.
    pub bindings: Vec<Binding>,
    /// Grid size.
    pub workgroups: [u32; 3],
    /// Floating point operations that the algorithm needs (not those that the kernel wastes).
    pub flops: u64,
    /// Whether it is known to keep to its bindings, so that it needs no runtime checks.
    pub(super) trusted: bool,
}

impl Dispatch {
    /// Bytes of all bound ranges: what the dispatch moves if each is touched once.
    pub fn bytes(&self) -> u64 {
        self.bindings.iter().map(|b| 4 * b.len as u64).sum()
    }
}

/// Tensors and the dispatches over them, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All dispatches, in order of execution.
    pub dispatches: Vec<Dispatch>,
    /// Content of the tensors of [`Lifetime::Constant`].
    pub constants: Vec<(TensorId, Vec<u32>)>,
}

impl Recording {
    /// The tensor behind an id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// Finds a tensor by its label.
    pub fn find(&self, label: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.label == label).map(TensorId)
    }

    /// Checks the rules that hold on every device: ranges inside tensors, alignment, no tensor
    /// both read and written by one dispatch, nothing transient read before it is written.
    pub fn validate(&self) -> Result<(), GpuError> {
        let mut written = vec![false; self.tensors.len()];
        for dispatch in &self.dispatches {
            let fail = |reason: String| {
                Err(GpuError::InvalidRecording { dispatch: dispatch.label.clone(), reason })
            };
            for binding in &dispatch.bindings {
                let tensor = self.tensor(binding.tensor);
                if binding.len == 0 || binding.offset + binding.len > tensor.len {
                    return fail(format!(
                        "range {}..{} lies outside '{}' of {} elements",
                        binding.offset,
                        binding.offset + binding.len,
                        tensor.label,
                        tensor.len
                    ));
                }
                if binding.offset % 64 != 0 {
                    return fail(format!(
                        "offset {} into '{}' is unaligned",
                        binding.offset, tensor.label
                    ));
                }
                let transient = matches!(tensor.lifetime, Lifetime::Transient | Lifetime::Output);
                if transient && binding.access != Access::Write && !written[binding.tensor.0] {
                    return fail(format!("'{}' is read before it is written", tensor.label));
                }
            }
            for written_binding in dispatch.bindings.iter().filter(|b| b.is_written()) {
                let id = written_binding.tensor;
                let readers =
                    dispatch.bindings.iter().filter(|b| b.tensor == id && !b.is_written());
                if readers.count() > 0 {
                    return fail(format!("'{}' is both read and written", self.tensor(id).label));
                }
                written[id.0] = true;
            }
        }
        Ok(())
    }

    /// Says of all dispatches whether they need runtime checks.
    pub(super) fn trust(&mut self, trusted: bool) {
        for dispatch in &mut self.dispatches {
            dispatch.trusted = trusted;
        }
    }

    /// Sum of the operations of all dispatches.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|d| d.flops).sum()
    }

    /// Refuses what a device with these limits cannot hold or run, before anything is allocated.
    ///
    /// # Errors
    /// [`GpuError::TensorTooLarge`] with the tensor's name, [`GpuError::DispatchTooLarge`] with the
    /// dispatch's.
    pub fn check_limits(&self, limits: &wgpu::Limits) -> Result<(), GpuError> {
        // Bindings first: their limits are the lower ones.
        for dispatch in &self.dispatches {
            self.check_dispatch(dispatch, limits)?;
        }
        for tensor in &self.tensors {
            let (bytes, limit) = (tensor.bytes(), limits.max_buffer_size);
            if bytes > limit {
                let (tensor, limit_name) = (tensor.label.clone(), "max_buffer_size");
                return Err(GpuError::TensorTooLarge { tensor, bytes, limit, limit_name });
            }
        }
        Ok(())
    }

    fn check_dispatch(&self, dispatch: &Dispatch, limits: &wgpu::Limits) -> Result<(), GpuError> {
        for binding in &dispatch.bindings {
            let bytes = 4 * binding.len as u64;
            let (limit, limit_name) = match binding.access {
                Access::Uniform => {
                    (limits.max_uniform_buffer_binding_size, "max_uniform_buffer_binding_size")
                }
                _ => (limits.max_storage_buffer_binding_size, "max_storage_buffer_binding_size"),
            };
            if bytes > limit {
                let tensor = self.tensor(binding.tensor).label.clone();
                return Err(GpuError::TensorTooLarge { tensor, bytes, limit, limit_name });
            }
        }
        let storage = dispatch.bindings.iter().filter(|b| b.access != Access::Uniform).count();
        let widest = dispatch.workgroups.into_iter().max().unwrap_or(0);
        let checks = [
            ("storage bindings", storage as u64, limits.max_storage_buffers_per_shader_stage),
            (
                "workgroups in one dimension",
                widest.into(),
                limits.max_compute_workgroups_per_dimension,
            ),
        ];
        for (what, needed, limit) in checks {
            if needed > u64::from(limit) {
                let (dispatch, limit) = (dispatch.label.clone(), limit.into());
                return Err(GpuError::DispatchTooLarge { dispatch, what, needed, limit });
            }
        }
        Ok(())
    }
}

impl Binding {
    /// Whether the dispatch may write it.
    pub fn is_written(&self) -> bool {
        matches!(self.access, Access::Write | Access::ReadWrite)
    }

    /// Whether both have elements in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let ends_before = |a: &Self, b: &Self| a.offset + a.len <= b.offset;
        self.tensor == other.tensor && !ends_before(self, other) && !ends_before(other, self)
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:<28} {:>16} {:>12} {:>12}  kernel",
            "stage", "label", "workgroups", "MFLOP", "MB"
        )?;
        for d in &self.dispatches {
            let [x, y, z] = d.workgroups;
            writeln!(
                f,
                "{:<10} {:<28} {:>16} {:>12.3} {:>12.3}  {}",
                d.stage,
                d.label,
                format!("{x}x{y}x{z}"),
                d.flops as f64 * 1e-6,
                d.bytes() as f64 * 1e-6,
                d.kernel.variant()
            )?;
        }
        Ok(())
    }
}

/// Spreads `groups` workgroups over two dimensions, since one holds at most 65,535. The shader
/// recovers the linear index as `wid.y * num_workgroups.x + wid.x`; it may exceed `groups − 1`.
pub fn fold_workgroups(groups: usize) -> [u32; 3] {
    const MAX: usize = 65_535;
    let groups = groups.max(1);
    if groups <= MAX {
        return [groups as u32, 1, 1];
    }
    let rows = groups.div_ceil(MAX);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}
