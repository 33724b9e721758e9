// One workgroup combines all parts that share a statistic.
const PARTS_STEP: u32 = WORKGROUP;

struct Combiner { statistic: u32, first: u32, stores: bool }

fn combiner(of_grid: Invocation) -> Combiner {
    return Combiner(workgroup_index(of_grid), of_grid.local, of_grid.local == 0u);
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
