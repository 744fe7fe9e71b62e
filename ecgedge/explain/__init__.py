"""Why a file takes the time that it takes: its operations, how far each is from the machine's limit, what to do."""
