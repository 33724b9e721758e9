// Matrix products c [ROWS, 4·COLUMNS] of row-major factors, either of which may be transposed, for
// row lengths that are multiples of 4.

override ROWS: i32;
// In quads.
override COLUMNS: i32;
override STEPS: i32;
// The factors as they lie in storage: number of rows, quads of a row, and whether the rows go along
// the terms of the sums.
override A_ROWS: i32;
override A_QUADS: i32;
override A_ALONG_TERMS: bool;
override B_ROWS: i32;
override B_QUADS: i32;
override B_ALONG_TERMS: bool;

@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> c: array<Quad>;

fn a_quad(row: i32, column: i32) -> Quad {
    let inside = row < A_ROWS && column < A_QUADS;
    return select(Quad(), a[select(0, row * A_QUADS + column, inside)], inside);
}

fn b_quad(row: i32, column: i32) -> Quad {
    let inside = row < B_ROWS && column < B_QUADS;
    return select(Quad(), b[select(0, row * B_QUADS + column, inside)], inside);
}

fn a_square(p: Part, first: i32, step: i32) -> Square {
    let quad = first + p.quad;
    let term = 4 * step + p.term;
    let row = 4 * select(term, quad, A_ALONG_TERMS);
    let column = select(quad, term, A_ALONG_TERMS);
    let square = Square(
        a_quad(row, column),
        a_quad(row + 1, column),
        a_quad(row + 2, column),
        a_quad(row + 3, column),
    );
    if A_ALONG_TERMS { return transpose(square); }
    return square;
}

fn b_square(p: Part, first: i32, step: i32) -> Square {
    let quad = first + p.quad;
    let term = 4 * step + p.term;
    let row = 4 * select(term, quad, B_ALONG_TERMS);
    let column = select(quad, term, B_ALONG_TERMS);
    let square = Square(
        b_quad(row, column),
        b_quad(row + 1, column),
        b_quad(row + 2, column),
        b_quad(row + 3, column),
    );
    if B_ALONG_TERMS { return transpose(square); }
    return square;
}

fn load(p: Part, at: Place, step: i32) -> Square {
    if p.is_left { return a_square(p, at.row * LEFT, step); }
    if p.is_right { return b_square(p, at.column * RIGHT, step); }
    return Square();
}

fn store_row(row: i32, column: i32, quad: Quad) {
    if row < ROWS && column < COLUMNS {
        c[row * COLUMNS + column] = quad;
    }
}

fn store(row: i32, column: i32, square: Square) {
    store_row(row, column, square[0]);
    store_row(row + 1, column, square[1]);
    store_row(row + 2, column, square[2]);
    store_row(row + 3, column, square[3]);
}

@compute @workgroup_size(WORKGROUP)
fn product(workgroup: Workgroup, me: Invocation) {
    let at = place(workgroup);
    if at.slice >= SLICES {
        return;
    }
    let p = part(me, A_ALONG_TERMS, B_ALONG_TERMS);
    var sums: Sums;
    var next = load(p, at, 0);
    for (var step = 0; step < STEPS; step++) {
        stage(p, next);
        workgroupBarrier();
        if step + 1 < STEPS {
            next = load(p, at, step + 1);
        }
        multiply(&sums, me);
        workgroupBarrier();
    }
    let tile = tile_of(&sums, me);
    let row = square_row(at, me, 0);
    let column = square_column(at, me, 0);
    store(row, column, tile[0]);
    if TALL > 1u { store(square_row(at, me, 1), column, tile[TALL - 1u]); }
    if WIDE > 1u {
        let next_column = square_column(at, me, 1);
        store(row, next_column, tile[TALL * (WIDE - 1u)]);
        if TALL > 1u { store(square_row(at, me, 1), next_column, tile[TALL * WIDE - 1u]); }
    }
}
