"""What scripts of drivers that tests kill begin with."""

ACKNOWLEDGE = """
from rayat.runs.driver import Observer

class Acknowledge(Observer):
    def begin(self, driver, concurrency):
        self.driver = driver
    def changed(self, trial_id, what):
        if what == "report":
            ledger = self.driver.ledger
            print(ledger.folder.name, trial_id, ledger.reported(trial_id), flush=True)
"""
