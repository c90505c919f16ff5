"""Memory before there is a bundle: predicted from the model alone, fitted to a budget, held to budgets."""
