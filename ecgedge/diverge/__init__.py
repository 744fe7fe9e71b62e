"""Where two forms of one model part: the stage, the operation, the decisions."""
