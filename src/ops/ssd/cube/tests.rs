//! How results are shared out.

use super::tile::{Grid, at, col, row};

#[test]
fn every_result_has_one_unit() {
    for (rows, columns) in [
        (16, 16),
        (64, 64),
        (64, 128),
        (48, 32),
        (64, 112),
        (32, 256),
        (80, 48),
    ] {
        for planes in [1, 2, 4, 8] {
            let grid = Grid::new(rows, columns, planes);
            assert!(grid.planes() <= planes, "{grid:?}");
            let mut owners = vec![0; rows * columns];
            let mut places = vec![0; grid.len()];
            for unit in 0..32 * grid.planes() {
                let (plane, g, t) = (unit / 32, unit % 32 / 4, unit % 4);
                let first = plane / grid.planes_n * 16 * grid.tm + g;
                let left = plane % grid.planes_n * 16 * grid.tn + 2 * t;
                for i in 0..grid.tm {
                    for j in 0..2 * grid.tn {
                        for e in 0..4 {
                            owners[(first + row(i, e)) * columns + left + col(j, e)] += 1;
                            places[at(grid, i, j, e)] += 1;
                        }
                    }
                }
            }
            assert!(owners.iter().all(|n| *n == 1), "{rows} {columns} {grid:?}");
            let each = 32 * grid.planes();
            assert!(
                places.iter().all(|n| *n == each),
                "{rows} {columns} {grid:?}"
            );
        }
    }
}

#[test]
fn as_many_planes_as_possible_work() {
    assert_eq!(Grid::new(64, 64, 8).planes(), 8);
    assert_eq!(Grid::new(64, 128, 8).planes(), 8);
    assert_eq!(Grid::new(16, 48, 8).planes(), 3);
    // Square shares read the least.
    let grid = Grid::new(64, 128, 8);
    assert_eq!((grid.tm, grid.tn), (2, 2));
}
