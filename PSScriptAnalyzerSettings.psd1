@{
    ExcludeRules = @(
        # Pester declares variables in BeforeAll that other blocks read; the rule cannot see it.
        'PSUseDeclaredVarsMoreThanAssignments'
    )
}
