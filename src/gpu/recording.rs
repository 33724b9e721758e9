//! A computation as plain data: tensors and dispatches, no device in sight.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::{GpuError, Tuning};

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

/// WGSL source by name: the parts are joined in order.
#[derive(Debug)]
pub struct Shader {
    /// File name without ending.
    pub name: &'static str,
    /// WGSL texts, shared functions first.
    pub parts: &'static [&'static str],
}

/// An entry point of a shader with its compile-time constants.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The shader.
    pub shader: &'static Shader,
    /// Name of the entry point.
    pub entry: &'static str,
    /// `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Constants that size local arrays, which WGSL does not allow to be overrides: the host
    /// prepends them as `const NAME: u32 = value;`.
    pub header: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// A kernel without constants.
    pub fn new(shader: &'static Shader, entry: &'static str) -> Self {
        Self { shader, entry, constants: Vec::new(), header: Vec::new() }
    }

    /// Sets an `override` constant.
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Sets an `override` constant that is a size.
    pub fn size(self, name: &'static str, value: usize) -> Self {
        self.constant(name, value as f64)
    }

    /// Sets a `const` of the prepended header.
    pub fn header(mut self, name: &'static str, value: u32) -> Self {
        self.header.push((name, value));
        self
    }

    /// The WGSL text that is compiled.
    pub fn source(&self) -> String {
        // Directives come before all else.
        let is_directive = |line: &&str| line.starts_with("enable ");
        let lines = || self.shader.parts.iter().flat_map(|part| part.lines());
        let directives = lines().filter(is_directive).map(|line| format!("{line}\n"));
        let header =
            self.header.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n"));
        let rest = lines().filter(|line| !is_directive(line)).map(|line| format!("{line}\n"));
        directives.chain(header).chain(rest).collect()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.shader.name, self.entry)
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        // Not by name: shaders of one name differ in their parts.
        std::ptr::eq(self.shader, other.shader)
            && self.entry == other.entry
            && self.header == other.header
            && self.constants.len() == other.constants.len()
            && self
                .constants
                .iter()
                .zip(&other.constants)
                .all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits())
    }
}

impl Eq for Kernel {}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shader.name.hash(state);
        self.entry.hash(state);
        self.header.hash(state);
        for (name, value) in &self.constants {
            name.hash(state);
            value.to_bits().hash(state);
        }
    }
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
            "{:<10} {:<28} {:<32} {:>16} {:>12} {:>12}",
            "stage", "label", "kernel", "workgroups", "MFLOP", "MB"
        )?;
        for d in &self.dispatches {
            let [x, y, z] = d.workgroups;
            writeln!(
                f,
                "{:<10} {:<28} {:<32} {:>16} {:>12.3} {:>12.3}",
                d.stage,
                d.label,
                d.kernel.to_string(),
                format!("{x}x{y}x{z}"),
                d.flops as f64 * 1e-6,
                d.bytes() as f64 * 1e-6
            )?;
        }
        Ok(())
    }
}

/// Builds a [`Recording`].
#[derive(Debug, Default)]
pub struct Recorder {
    recording: Recording,
    stage: &'static str,
    label: String,
    tuning: Tuning,
    rounding: bool,
    fences: Vec<usize>,
}

impl Recorder {
    /// An empty recording of kernels that suit a GPU.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how the kernels to come are written.
    pub fn tune(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }

    /// Whether kernels to come may round their factors to [`Staging::precision`](super::Staging): where
    /// only the optimizer's step depends on what they compute, and no similarity. At first they may
    /// not.
    pub fn allow_rounding(&mut self, allowed: bool) {
        self.rounding = allowed;
    }

    /// How kernels are written.
    pub fn tuning(&self) -> Tuning {
        if self.rounding { self.tuning } else { self.tuning.exact() }
    }

    /// Sets the stage of the dispatches to come. They stay behind those of the stage before.
    pub fn stage(&mut self, stage: &'static str) {
        self.fence();
        self.stage = stage;
    }

    /// Keeps the dispatches recorded so far in front of those to come, whatever their order among themselves becomes.
    /// Returns the number of the former: the index at which a caller can put work of its own in between
    /// ([`Executable::encode_range`](super::Executable::encode_range)).
    pub fn fence(&mut self) -> usize {
        let count = self.recording.dispatches.len();
        if self.fences.last() != Some(&count) {
            self.fences.push(count);
        }
        count
    }

    /// Sets the label of the dispatches and transient tensors to come, e.g. the layer's name.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Adds a tensor.
    pub fn tensor(&mut self, tensor: Tensor) -> TensorId {
        self.recording.tensors.push(tensor);
        TensorId(self.recording.tensors.len() - 1)
    }

    /// Adds a tensor that the caller supplies.
    pub fn external(
        &mut self,
        label: impl Into<String>,
        element: ElementType,
        len: usize,
    ) -> TensorId {
        self.tensor(Tensor { label: label.into(), len, element, lifetime: Lifetime::External })
    }

    /// A tensor of fixed content, for a uniform binding; the same tensor for the same content.
    pub fn constants(&mut self, content: Vec<u32>) -> TensorId {
        if let Some((id, _)) = self.recording.constants.iter().find(|(_, known)| *known == content)
        {
            return *id;
        }
        let number = self.recording.constants.len();
        let (label, len, element) =
            (format!("constants {number}"), content.len(), ElementType::U32);
        let id = self.tensor(Tensor { label, len, element, lifetime: Lifetime::Constant });
        self.recording.constants.push((id, content));
        id
    }

    /// Adds a transient tensor of floats, named after the current stage, label and `what`.
    pub fn transient(&mut self, what: &str, len: usize) -> TensorId {
        self.transient_of(what, ElementType::F32, len)
    }

    /// Adds a transient tensor.
    pub fn transient_of(&mut self, what: &str, element: ElementType, len: usize) -> TensorId {
        let label = format!("{}/{}/{}", self.stage, self.label, what);
        self.tensor(Tensor { label, len, element, lifetime: Lifetime::Transient })
    }

    /// Keeps a tensor readable after the run, under a label of its own.
    pub fn keep(&mut self, id: TensorId, label: &str) {
        let tensor = &mut self.recording.tensors[id.0];
        if tensor.lifetime == Lifetime::Transient {
            tensor.lifetime = Lifetime::Output;
            tensor.label = label.to_owned();
        }
    }

    /// Number of elements of a tensor.
    pub fn len(&self, id: TensorId) -> usize {
        self.recording.tensor(id).len
    }

    /// Finds a tensor by its label.
    pub fn find(&self, label: &str) -> Option<TensorId> {
        self.recording.find(label)
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.recording.dispatches.is_empty()
    }

    /// The whole of a tensor as a binding.
    pub fn whole(&self, tensor: TensorId, access: Access) -> Binding {
        Binding { tensor, offset: 0, len: self.len(tensor), access }
    }

    /// The whole of a tensor, read.
    pub fn read(&self, tensor: TensorId) -> Binding {
        self.whole(tensor, Access::Read)
    }

    /// The whole of a tensor, overwritten.
    pub fn write(&self, tensor: TensorId) -> Binding {
        self.whole(tensor, Access::Write)
    }

    /// Appends a dispatch.
    pub fn dispatch(
        &mut self,
        kernel: Kernel,
        bindings: Vec<Binding>,
        workgroups: [u32; 3],
        flops: u64,
    ) {
        let (stage, label) = (self.stage, self.label.clone());
        self.recording.dispatches.push(Dispatch {
            stage,
            label,
            kernel,
            bindings,
            workgroups,
            flops,
        });
    }

    /// Ends recording, checks it, and brings dispatches that need nothing of each other together.
    pub fn finish(self) -> Result<Recording, GpuError> {
        let mut recording = self.recording;
        recording.validate()?;
        recording.schedule(&self.fences);
        Ok(recording)
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
