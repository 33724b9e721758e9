// Looks for numbers that are not finite: in each of six vectors for the first one.

override LEN_0: u32;
override LEN_1: u32 = 0u;
override LEN_2: u32 = 0u;
override LEN_3: u32 = 0u;
override LEN_4: u32 = 0u;
override LEN_5: u32 = 0u;
// Where in `found` each vector has its place.
override SLOT_0: u32;
override SLOT_1: u32 = 0u;
override SLOT_2: u32 = 0u;
override SLOT_3: u32 = 0u;
override SLOT_4: u32 = 0u;
override SLOT_5: u32 = 0u;
override STEP_SLOT: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x_0: array<u32>;
@group(0) @binding(2) var<storage, read> x_1: array<u32>;
@group(0) @binding(3) var<storage, read> x_2: array<u32>;
@group(0) @binding(4) var<storage, read> x_3: array<u32>;
@group(0) @binding(5) var<storage, read> x_4: array<u32>;
@group(0) @binding(6) var<storage, read> x_5: array<u32>;
@group(0) @binding(7) var<storage, read_write> found: array<atomic<u32>>;

// Places are counted down from 2^32 - 1, so that zero is nothing and the largest is the first.
fn tell(slot: u32, place: u32) {
    atomicMax(&found[slot], 0xffffffffu - place);
    atomicMax(&found[STEP_SLOT], 0xffffffffu - step.number);
}

@compute @workgroup_size(WORKGROUP)
fn look(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let i = linear_index(id, groups);
    if i < LEN_0 && !is_finite(x_0[i]) {
        tell(SLOT_0, i);
    }
    if i < LEN_1 && !is_finite(x_1[i]) {
        tell(SLOT_1, i);
    }
    if i < LEN_2 && !is_finite(x_2[i]) {
        tell(SLOT_2, i);
    }
    if i < LEN_3 && !is_finite(x_3[i]) {
        tell(SLOT_3, i);
    }
    if i < LEN_4 && !is_finite(x_4[i]) {
        tell(SLOT_4, i);
    }
    if i < LEN_5 && !is_finite(x_5[i]) {
        tell(SLOT_5, i);
    }
}
