// One workgroup combines all parts that share a statistic.
const PARTS_STEP: u32 = WORKGROUP;

fn combined_statistic(workgroup: Workgroup, local: u32) -> u32 {
    return index_of(workgroup);
}

fn first_part(local: u32) -> u32 {
    return local;
}

var<workgroup> totals: array<vec2<f32>, WORKGROUP>;

// Σ over the invocations of the workgroup, in a fixed order.
fn total(local: u32, part: vec2<f32>) -> vec2<f32> {
    totals[local] = part;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if local < half {
            totals[local] += totals[local + half];
        }
        workgroupBarrier();
    }
    let sum = totals[0];
    workgroupBarrier();
    return sum;
}
