//! A recording bound to a device: buffers, pipelines and bind groups, made once and encoded often.

use std::collections::HashMap;

use super::context::check_buffer_size;
use super::{Access, Context, Dispatch, GpuError, Lifetime, Recording, Tensor, TensorId, memory};

/// Where a tensor lies: a buffer from some byte on.
type Place = (wgpu::Buffer, u64);

/// Buffers that the caller supplies for the external tensors of a recording, by label. What a
/// tensor that the recording writes lies in must hold no other tensor: dispatches are put in order
/// by tensors.
#[derive(Clone, Debug, Default)]
pub struct DeviceTensors {
    places: HashMap<String, Place>,
}

impl DeviceTensors {
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Supplies a buffer for the tensor called `label`.
    pub fn insert(&mut self, label: impl Into<String>, buffer: wgpu::Buffer) {
        self.places.insert(label.into(), (buffer, 0));
    }

    /// Supplies a part of a buffer for the tensor called `label`. It begins at a multiple of the
    /// device's `min_storage_buffer_offset_alignment` (256 bytes hold everywhere).
    pub fn insert_slice(&mut self, label: impl Into<String>, slice: wgpu::BufferSlice<'_>) {
        self.places.insert(label.into(), (slice.buffer().clone(), slice.offset()));
    }

    /// The buffer of the tensor called `label`.
    pub fn get(&self, label: &str) -> Option<&wgpu::Buffer> {
        self.places.get(label).map(|(buffer, _)| buffer)
    }
}

/// A prepared dispatch: everything that encoding needs.
#[derive(Debug)]
struct Prepared {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// A recording bound to a device: pipelines, buffers and bind groups made once, encoded often.
#[derive(Debug)]
pub struct Executable {
    recording: Recording,
    prepared: Vec<Prepared>,
    places: Vec<Option<Place>>,
    allocated_bytes: u64,
}

impl Executable {
    /// Allocates the transient tensors, compiles the pipelines and makes the bind groups.
    ///
    /// A recording may come from anywhere, so its kernels are compiled with runtime checks, the
    /// crate's as well: see [`Executable::trusted`].
    ///
    /// # Errors
    /// When a tensor or dispatch exceeds the device's limits, an external tensor is missing or its
    /// buffer unsuitable, a pipeline does not compile, or memory runs out.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new(
        context: &Context,
        recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        pollster::block_on(Self::new_async(context, recording, externals))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// As [`Executable::new`].
    pub async fn new_async(
        context: &Context,
        mut recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        recording.trust(false);
        Self::of(context, recording, externals).await
    }

    /// The same with kernels as the context's [`ShaderChecks`](super::ShaderChecks) say.
    ///
    /// # Errors
    /// As [`Executable::new`].
    ///
    /// # Safety
    /// With [`ShaderChecks::Trusted`](super::ShaderChecks::Trusted), every dispatch must keep to
    /// its bindings, whatever they hold, and end.
    #[cfg(not(target_arch = "wasm32"))]
    pub unsafe fn trusted(
        context: &Context,
        mut recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        recording.trust(true);
        pollster::block_on(Self::of(context, recording, externals))
    }

    /// Of a recording that the crate has made and nobody has changed.
    pub(crate) async fn of(
        context: &Context,
        recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        check(context, &recording, externals)?;
        context.prepare(recording.dispatches.iter()).await?;
        let (places, allocated_bytes) = allocate(context, &recording, externals).await?;
        let executable = Self::bind(context, recording, places, allocated_bytes)?;
        context.probe("preparing the kernels").await?;
        Ok(executable)
    }

    /// The same at once, for a recording whose pipelines are there and whose tensors are all
    /// external.
    pub(crate) fn of_prepared(
        context: &Context,
        recording: Recording,
        externals: &DeviceTensors,
    ) -> Result<Self, GpuError> {
        check(context, &recording, externals)?;
        let place = |tensor: &Tensor| externals.places.get(&tensor.label).cloned();
        let places = recording.tensors.iter().map(place).collect();
        let executable = Self::bind(context, recording, places, 0)?;
        context.check("preparing the kernels")?;
        Ok(executable)
    }

    fn bind(
        context: &Context,
        recording: Recording,
        places: Vec<Option<Place>>,
        allocated_bytes: u64,
    ) -> Result<Self, GpuError> {
        let mut executable = Self { recording, prepared: Vec::new(), places, allocated_bytes };
        let prepare = |dispatch| executable.prepare(context, dispatch);
        executable.prepared =
            executable.recording.dispatches.iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(executable)
    }

    /// Binds other buffers to the external tensors that `externals` names; the rest stays. Makes
    /// new bind groups for the dispatches that use them, and none where nothing has moved.
    ///
    /// # Errors
    /// When a buffer is unsuitable. Nothing has changed then.
    pub fn rebind(&mut self, context: &Context, externals: &DeviceTensors) -> Result<(), GpuError> {
        check_externals(&context.device.limits(), &self.recording, externals)?;
        let mut moved = vec![false; self.places.len()];
        for (index, tensor) in self.recording.tensors.iter().enumerate() {
            let Some(place) = externals.places.get(&tensor.label) else { continue };
            if tensor.is_external() && self.places[index].as_ref() != Some(place) {
                self.places[index] = Some(place.clone());
                moved[index] = true;
            }
        }
        for (at, dispatch) in self.recording.dispatches.iter().enumerate() {
            if dispatch.bindings.iter().any(|binding| moved[binding.tensor.0]) {
                self.prepared[at] = self.prepare(context, dispatch)?;
            }
        }
        Ok(())
    }

    /// The recording that this runs.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Bytes of device memory allocated for transient and output tensors.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// The buffer that holds a tensor: from its first byte on, unless the caller supplied it as a
    /// part of a buffer.
    pub fn buffer(&self, tensor: TensorId) -> Option<&wgpu::Buffer> {
        self.places[tensor.0].as_ref().map(|(buffer, _)| buffer)
    }

    /// Encodes all dispatches, in order, into the caller's pass.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.encode_range(pass, 0..self.prepared.len());
    }

    /// Encodes some of the dispatches, so that a caller can put work of its own in between. Those
    /// past the end are ignored.
    pub fn encode_range(&self, pass: &mut wgpu::ComputePass<'_>, range: std::ops::Range<usize>) {
        for dispatch in self.prepared.iter().skip(range.start).take(range.len()) {
            let [x, y, z] = dispatch.workgroups;
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bind_group, &[]);
            pass.dispatch_workgroups(x, y, z);
        }
    }

    fn prepare(&self, context: &Context, dispatch: &Dispatch) -> Result<Prepared, GpuError> {
        let pipeline = context.pipeline(dispatch)?;
        let mut entries = Vec::with_capacity(dispatch.bindings.len());
        for (index, binding) in (0u32..).zip(&dispatch.bindings) {
            let (buffer, first) = self.places[binding.tensor.0].as_ref().ok_or_else(|| {
                GpuError::MissingTensor(self.recording.tensor(binding.tensor).label.clone())
            })?;
            entries.push(wgpu::BindGroupEntry {
                binding: index,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: first + 4 * binding.offset as u64,
                    size: std::num::NonZeroU64::new(4 * binding.len as u64),
                }),
            });
        }
        let bind_group = context.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Prepared { pipeline: pipeline.pipeline, bind_group, workgroups: dispatch.workgroups })
    }
}

/// Refuses what the device cannot run.
fn check(
    context: &Context,
    recording: &Recording,
    externals: &DeviceTensors,
) -> Result<(), GpuError> {
    context.check_backend()?;
    let limits = context.device.limits();
    recording.check_limits(&limits)?;
    check_externals(&limits, recording, externals)
}

/// Refuses buffers of the caller that the API would reject, by the tensor's label.
fn check_externals(
    limits: &wgpu::Limits,
    recording: &Recording,
    externals: &DeviceTensors,
) -> Result<(), GpuError> {
    for (index, tensor) in recording.tensors.iter().enumerate() {
        let Some((buffer, first)) = externals.places.get(&tensor.label) else { continue };
        if tensor.is_external() {
            let uses = recording.dispatches.iter().flat_map(|d| &d.bindings);
            let uniform = |b: &super::Binding| b.access == Access::Uniform;
            let mut usage = wgpu::BufferUsages::empty();
            for binding in uses.filter(|b| b.tensor.0 == index) {
                usage |= match uniform(binding) {
                    true => wgpu::BufferUsages::UNIFORM,
                    false => wgpu::BufferUsages::STORAGE,
                };
            }
            let fail =
                |reason| Err(GpuError::UnsuitableBuffer { tensor: tensor.label.clone(), reason });
            if !buffer.usage().contains(usage) {
                return fail(format!("it needs the usage {usage:?}, and has {:?}", buffer.usage()));
            }
            let end = first.saturating_add(tensor.bytes());
            if end > buffer.size() {
                let size = buffer.size();
                return fail(format!("it has {size} bytes, and {end} are needed"));
            }
            let alignment = if usage.contains(wgpu::BufferUsages::UNIFORM) {
                limits.min_uniform_buffer_offset_alignment
            } else {
                limits.min_storage_buffer_offset_alignment
            };
            if first % u64::from(alignment) != 0 {
                return fail(format!("the offset {first} is not a multiple of {alignment}"));
            }
        }
    }
    // Bound in parts, a tensor may fit every binding and still no buffer.
    let owned =
        |tensor: &&Tensor| matches!(tensor.lifetime, Lifetime::Transient | Lifetime::Output);
    for tensor in recording.tensors.iter().filter(owned) {
        check_buffer_size(limits, &tensor.label, tensor.bytes())?;
    }
    Ok(())
}

/// One buffer a memory slot, the caller's buffers for the rest.
async fn allocate(
    context: &Context,
    recording: &Recording,
    externals: &DeviceTensors,
) -> Result<(Vec<Option<Place>>, u64), GpuError> {
    let plan = memory::plan(recording);
    let slots = allocate_slots(context, &plan).await?;
    let place_of = |(index, tensor): (usize, &Tensor)| match tensor.lifetime {
        Lifetime::External | Lifetime::ExternalUniform => {
            externals.places.get(&tensor.label).cloned()
        }
        Lifetime::Transient | Lifetime::Output => {
            plan.slot_of[index].map(|slot| (slots[slot].clone(), 0))
        }
        Lifetime::Constant => None,
    };
    let mut places: Vec<_> = recording.tensors.iter().enumerate().map(place_of).collect();
    for (tensor, content) in &recording.constants {
        let content = bytemuck::cast_slice(content);
        let usage = wgpu::BufferUsages::UNIFORM;
        let buffer = context.upload(&recording.tensor(*tensor).label, content, usage).await?;
        places[tensor.0] = Some((buffer, 0));
    }
    Ok((places, plan.bytes()))
}

async fn allocate_slots(
    context: &Context,
    plan: &memory::MemoryPlan,
) -> Result<Vec<wgpu::Buffer>, GpuError> {
    if plan.slots.is_empty() {
        return Ok(Vec::new());
    }
    let scope = context.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let slots: Vec<wgpu::Buffer> = plan
        .slots
        .iter()
        .map(|&size| {
            context.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("l2rw transient"),
                size,
                // VERTEX: what a run gives, e.g. a weight, can be drawn with as it lies.
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::VERTEX
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
        .collect();
    if let Some(error) = scope.pop().await {
        return Err(GpuError::OutOfMemory {
            what: "the activations of the plan".into(),
            bytes: plan.bytes(),
            reason: error.to_string(),
        });
    }
    Ok(slots)
}
