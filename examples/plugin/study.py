"""The plugin's methods with one worker and with two; here they are named by their place."""

from rayat.study import Study

study = Study(
    name="plugin",
    base={
        "data": {"name": "digits", "train_size": 128, "val_size": 32},
        "model": {"name": "example_plugin:small_net", "width": 4},
        "attack": {"name": "example_plugin:RandomCorner", "eps": 0.1},
        "lr": {"shape": "example_plugin:Halving", "peak": 0.1},
        "epochs": 2,
        "batch_size": 64,
        "eval": {"steps": 1, "final_steps": 1, "final_size": 32},
    },
    arms={"one": {}, "two": {"workers": 2}},
    seeds=(0,),
)
