import pytest, torch
from rayat.training.run import run

SPECS=[{"name":"random"},{"name":"grad-match"},{"name":"grad-match","variant":"per-class","rows":"all"},{"name":"glister"}]
@pytest.mark.filterwarnings("ignore:grad-match")
@pytest.mark.parametrize("spec",SPECS,ids=str)
def test_run(spec, small, launch, timeless):
    c=small(epochs=6, pruning={**spec,"fraction":0.5,"every":2,"warm_start":0.34})
    a=launch("a"); run(c,a)
    for r in a.rows: print({k:r[k] for k in ("epoch","lr","samples","data_fraction","train_loss","val_robust_acc","fwd_passes","selection_seconds","passes_cum")})
    for die in (4,6):
        b=launch(f"b{die}", die_at=die)
        with pytest.raises(SystemExit): run(c,b)
        b2=launch(f"b{die}", reported=die-1); run(c,b2)
        assert timeless(a.rows)==timeless(b.rows+b2.rows)
    assert [r["samples"]>0 for r in a.rows]==[True,False,True,True,True,True]
