// One invocation reduces a block of channels of a chunk.
const SLICES: u32 = 1u;

struct Worker { row: u32, block: u32, slice: u32 }

fn worker(of_grid: Workgroup, local: u32) -> Worker {
    let workgroup = index_of(of_grid);
    let i = workgroup * WORKGROUP + local;
    return Worker(i / BLOCKS, i % BLOCKS, 0u);
}

fn chunk_total(local: u32, part: Lanes) -> Lanes {
    return part;
}
